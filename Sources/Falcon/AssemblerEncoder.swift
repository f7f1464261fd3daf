/// Fits written operands into the rows of the instruction table.
struct AssemblerEncoder {
  /// Why a row does not take an operand.
  enum Mismatch: Error {
    /// The operand is of another kind; another row may take it.
    case kind
    /// The operand is of the right kind and its value does not fit.
    case value(column: Int, message: String, remedy: String)
  }

  let lookup: (String, Int) throws(AssemblerExpressionProblem) -> Int64
  /// The address of the instruction.
  let address: UInt32
  /// Whether `D[r]` may stand for `D[r + 0]`.
  var isLenient = false

  /// The bits that `argument` takes in a row's `operand`.
  func bits(
    _ argument: AssemblerArgument, as operand: FalconOperand, scale: Int64
  ) throws(Mismatch) -> UInt32 {
    switch operand {
    case .register(let field): return try register(argument, field)
    case .special(let field):
      guard case .name(let name) = argument.operand,
        let number = FalconNames.special(named: name)
      else { throw .kind }
      return UInt32(number) << field.shift
    case .stackPointer: return try exactly("sp", argument)
    case .flags: return try exactly("flags", argument)
    case .condition(let condition):
      let name: String
      switch argument.operand {
      case .name(let plain): name = plain
      case .inverted(let inner): name = "!" + inner
      default: throw .kind
      }
      guard FalconCondition.named(name) == condition else { throw .kind }
      return 0
    case .flag:
      if case .name(let name) = argument.operand, let flag = FalconNames.flag(named: name) {
        return UInt32(flag) << 16
      }
      return try number(argument, .byte, 0...0xff)
    case .immediate(let width, let kind):
      let limit = Int64(width.mask)
      return try number(
        argument, width, kind == .signed ? -(limit / 2 + 1)...limit / 2 : 0...limit)
    case .bitField(let width): return try bitField(argument, width)
    case .absoluteTarget(let width):
      return try number(argument, width, 0...Int64(width.mask))
    case .relativeTarget(let width):
      return try displacement(argument, width)
    case .data(let base, let index):
      return try memory(argument, "D", base, index, scale: scale)
    case .io(let field, let index):
      return try memory(argument, "I", .register(field), index, scale: 4)
    }
  }

  private func exactly(
    _ name: String, _ argument: AssemblerArgument
  ) throws(Mismatch) -> UInt32 {
    guard argument.operand == .name(name) else { throw .kind }
    return 0
  }

  private func register(
    _ argument: AssemblerArgument, _ field: FalconField
  ) throws(Mismatch) -> UInt32 {
    guard case .name(let name) = argument.operand,
      let number = FalconNames.register(named: name)
    else { throw .kind }
    return UInt32(number) << field.shift
  }

  /// The value of an operand that is a number or a symbol.
  private func value(_ argument: AssemblerArgument) throws(Mismatch) -> Int64 {
    switch argument.operand {
    case .expression(let expression): return try value(of: expression)
    case .name(let name):
      if FalconNames.isReserved(name) { throw .kind }
      return try value(of: .symbol(name, column: argument.column))
    default: throw .kind
    }
  }

  private func value(of expression: AssemblerExpression) throws(Mismatch) -> Int64 {
    do {
      return try expression.value(lookup)
    } catch {
      throw .value(column: error.column, message: error.message, remedy: error.remedy)
    }
  }

  private func number(
    _ argument: AssemblerArgument, _ width: FalconWidth, _ range: ClosedRange<Int64>
  ) throws(Mismatch) -> UInt32 {
    var number = try value(argument)
    if argument.isLong, width == .byte { throw .kind }
    // A negative number may be written as its 32-bit pattern.
    if range.lowerBound < 0, number >= 0x8000_0000, number <= 0xffff_ffff {
      number -= 0x1_0000_0000
    }
    guard range.contains(number) else {
      throw .value(
        column: argument.column,
        message: "\(number) does not fit; this form takes \(range.lowerBound) to "
          + "\(range.upperBound)",
        remedy: "use a smaller value, or li for any 32-bit value")
    }
    return (UInt32(truncatingIfNeeded: number) & width.mask) << 16
  }

  /// A branch target as its distance from the instruction; addresses wrap at 32 bits.
  private func displacement(
    _ argument: AssemblerArgument, _ width: FalconWidth
  ) throws(Mismatch) -> UInt32 {
    let target = try value(argument)
    if argument.isLong, width == .byte { throw .kind }
    let distance = Int32(truncatingIfNeeded: target &- Int64(address))
    let half = Int32(width.mask / 2)
    guard target >= 0, target <= 0xffff_ffff, distance <= half, distance >= -half - 1 else {
      throw .value(
        column: argument.column, message: "\(target) is out of a branch's reach",
        remedy: "use jmp, which reaches any address")
    }
    return (UInt32(bitPattern: distance) & width.mask) << 16
  }

  private func bitField(
    _ argument: AssemblerArgument, _ width: FalconWidth
  ) throws(Mismatch) -> UInt32 {
    guard case .bits(let lowest, let highest) = argument.operand else {
      return try number(argument, width, 0...Int64(width.mask))
    }
    if argument.isLong, width == .byte { throw .kind }
    let low = try value(of: lowest)
    let high = try value(of: highest)
    guard low >= 0, high >= low, high < 32 else {
      throw .value(
        column: argument.column, message: "no bits \(low)..\(high) in a register",
        remedy: "write low..high with 0 <= low <= high <= 31")
    }
    let raw = UInt32(low) | UInt32(high - low) << 5
    guard raw <= width.mask else {
      throw .value(
        column: argument.column, message: "a field of \(high - low + 1) bits in the short form",
        remedy: "the short form takes up to 8 bits")
    }
    return raw << 16
  }

  private func memory(
    _ argument: AssemblerArgument, _ space: String, _ base: FalconBase, _ index: FalconIndex,
    scale: Int64
  ) throws(Mismatch) -> UInt32 {
    guard case .memory(space, let baseName, let written) = argument.operand else { throw .kind }
    var bits: UInt32 = 0
    switch base {
    case .stackPointer: if baseName != "sp" { throw .kind }
    case .register(let field):
      guard let number = FalconNames.register(named: baseName) else { throw .kind }
      bits = UInt32(number) << field.shift
    }
    switch (index, written) {
    case (.none, .none): return bits
    case (.immediate, .none):
      if isLenient { return bits }
      throw .kind
    case (.immediate, .expression(let expression)):
      let offset = try value(of: expression)
      guard offset >= 0, offset % scale == 0, offset / scale <= 0xff else {
        throw .value(
          column: argument.column, message: "offset \(offset) can't be encoded",
          remedy: "offsets are multiples of \(scale) from 0 to \(scale * 0xff)")
      }
      return bits | UInt32(offset / scale) << 16
    case (.register(let field), .register(let number, let writtenScale)):
      guard writtenScale == scale else {
        throw .value(
          column: argument.column, message: "an index scaled by \(writtenScale)",
          remedy: "this access scales its index by \(scale)")
      }
      return bits | UInt32(number) << field.shift
    default: throw .kind
    }
  }
}
