import Base
import Falcon

/// The assembler behind `nouveau firmware assemble`, and the reader of method lists behind `run`.
package struct AssemblerTarget: FuzzTarget {
  package let name = "assembler"
  package let summary = "assembly sources and method lists (nouveau firmware assemble, run)"

  package init() {}

  private static let source = """
    .section data
    .equ size 4 * (3 + 1)
    table: .b32 table start, -1 ~0 & 0xff
    .align 8
    .section code
    start: li r1 0x12345678
      add b32 r1 r2 size - 1   // comment
      bra !p3 start
      st b8 D[sp + r3*1] r4
      iowr I[r1 + 0x3fc] r2
      extr r1 r2 4..9
      call long start
      ret unused 0x3000
    """
  private static let methods = """
    fill 0x10000 64 index
    SRC_ADDRESS_LOW 0x10000
    DST_ADDRESS_LOW 0x20000 # comment
    XCNT 64
    0x328 1
    EXEC 0x110            // linear to linear
    show 0x20000 16
    """
  private static let pieces = [
    ".section ", ".equ x ", ".b8 ", ".b16 ", ".b32 ", ".align ", ".skip ", "0x", "0xffffffff",
    "4294967296", "18446744073709551616", "-1", "1 << 64", "1 / 0", "1 % 0", "~", "((((", ")", "..",
    "D[", "I[", "]", "*4", "sp", "r16", "r1", "long ", "unused ", "b8 ", ":", "//", "#", "\n", "\t",
    "\u{0}", "é", "🙂", "\"", "'", "fill ", "show ", "index", "0x7fffffffffffffff",
    ".skip 0xfffffff",
    "start", "x", ".align 0", "exit", "bra ", "li r1 ",
  ]

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    let isScript = mutator.oneIn(4)
    var bytes = Array((isScript ? Self.methods : Self.source).utf8)
    mutator.damage(&bytes, pieces: Self.pieces)
    return [isScript ? 1 : 0] + bytes
  }

  package func feed(_ input: [UInt8]) -> FuzzOutcome {
    let text = String(decoding: input.dropFirst(), as: UTF8.self)
    do throws(FalconAssemblyError) {
      if input.first == 1 {
        _ = try PCOPYScript(text, file: "list")
        return .ended("list accepted")
      }
      let program = try FalconAssembler.assemble(text)
      return program.code.count <= 0x1_0000 && program.data.count <= 0x1_0000
        ? .ended("source accepted") : .broken("a program larger than a falcon's memory")
    } catch {
      return error.problems.isEmpty ? .broken("an error without a problem") : .ended("refused")
    }
  }
}
