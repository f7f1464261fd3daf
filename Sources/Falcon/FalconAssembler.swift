/// Assembles falcon microcode.
///
/// The syntax, line by line; a comment starts with `//`:
///
///     .section code            // or data; what follows goes there
///     .equ name value          // a constant
///     .b8 / .b16 / .b32 values // data
///     .align n   .skip n       // zeros up to a multiple of n; n zeros
///     label:
///         mnemonic [b8|b16|b32] operands
///
/// Operands are separated by blanks or commas, the destination first. Registers are `r0` to `r15`,
/// special registers go by name (`sp`, `flags`, `iv0`, …), flag bits too (`p0`, `c`, `z`, `ie0`,
/// …). Memory is `D[r1 + 8]`, `D[sp + r2*4]`, I/O `I[r1 + 0x100]`; offsets are in bytes. A bit
/// field is `low..high`. A branch condition precedes the target: `bra ne loop`, `bra !p1 done`.
/// Expressions have C's signs and precedence. The shortest form that holds a value is chosen;
/// `long` before an operand asks for the 16-bit form. `li r1 value` is any 32-bit value, as `mov`
/// or `mov` and `sethi`. ``FalconDisassembler`` writes this syntax.
public enum FalconAssembler {
  /// Assembles `source`; `file` is the name for messages.
  public static func assemble(
    _ source: String, file: String = "<source>"
  ) throws(FalconAssemblyError) -> FalconProgram {
    let parser = AssemblerParser(source: source, file: file)
    if !parser.problems.isEmpty { throw FalconAssemblyError(problems: parser.problems) }
    var layout = AssemblerLayout(parser)
    return try layout.program()
  }

  /// Assembles one instruction that stands at `address`, without labels.
  public static func instruction(
    _ text: String, at address: UInt32 = 0
  ) throws(FalconAssemblyError) -> [UInt8] {
    let parser = AssemblerParser(source: text, file: "<instruction>")
    if !parser.problems.isEmpty { throw FalconAssemblyError(problems: parser.problems) }
    var layout = AssemblerLayout(parser, origin: address)
    return try layout.program().code
  }
}
