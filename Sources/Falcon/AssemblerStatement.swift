/// An operand as written; what it means depends on the instruction's form.
enum AssemblerOperand: Hashable {
  enum Index: Hashable {
    case none
    case expression(AssemblerExpression)
    case register(UInt8, scale: Int64)
  }

  /// A register, flag, condition or symbol.
  case name(String)
  /// `!p0`
  case inverted(String)
  case expression(AssemblerExpression)
  /// `low..high`
  case bits(AssemblerExpression, AssemblerExpression)
  /// `D[…]` or `I[…]`
  case memory(space: String, base: String, Index)
}

/// An operand with its place and whether `long` stood before it.
struct AssemblerArgument: Hashable {
  let operand: AssemblerOperand
  let isLong: Bool
  let column: Int
}

/// One statement of a source.
struct AssemblerStatement {
  enum Kind {
    case label(String)
    case section(FalconProgram.Section)
    case data(bytes: Int, [AssemblerExpression])
    case align(AssemblerExpression)
    case skip(AssemblerExpression)
    case instruction(
      mnemonic: String, size: FalconSize?, [AssemblerArgument], unused: AssemblerExpression?)
  }

  let kind: Kind
  let line: Int
  let column: Int
}
