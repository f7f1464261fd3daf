import Base
import Falcon

/// The falcon's decoder, disassembler and assembler on any bytes, and the core that runs them.
package struct FalconTarget: FuzzTarget {
  package let name = "falcon"
  package let summary = "falcon code: decoded, disassembled, assembled again, and run on a core"
  private static let rows = FalconEncoding.table

  package init() {}

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    let length = mutator.oneIn(16) ? 0x200 : 8 + mutator.random.below(56)
    var code: [UInt8] = []
    while code.count < length {
      if mutator.oneIn(8) {
        code.append(mutator.byte())
        continue
      }
      let row = Self.rows[mutator.random.below(Self.rows.count)]
      let size: UInt32 = row.isSized ? UInt32(mutator.random.below(3)) << 6 : 0
      let free = mutator.oneIn(2) ? mutator.word() : mutator.tellingWord()
      let word = row.match | size | free & ~row.mask & ~0xc0
      code += (0..<row.length).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
    }
    if mutator.oneIn(8) { mutator.damage(&code) }
    return code
  }

  package func feed(_ input: [UInt8]) -> FuzzOutcome {
    if let complaint = Self.decode(input) { return .broken(complaint) }
    // Assembling takes most of the time, so a quarter of the inputs goes through it.
    if input.count % 4 == 0, let complaint = Self.roundTrip(input) { return .broken(complaint) }
    return Self.execute(input)
  }

  /// Each byte belongs to one instruction or is reported as none.
  private static func decode(_ code: [UInt8]) -> String? {
    var offset = 0
    while offset < code.count {
      switch FalconDecoder.decode(code, at: offset) {
      case .instruction(let instruction):
        let bytes = (0..<instruction.length).map {
          UInt8(truncatingIfNeeded: instruction.word >> UInt32($0 * 8))
        }
        if offset + instruction.length > code.count
          || bytes != Array(code[offset..<offset + instruction.length])
        {
          return "the instruction at \(offset) is not its bytes"
        }
        offset += instruction.length
      case .undefined(_, let length):
        if length <= 0 || offset + length > code.count { return "\(length) bytes at \(offset)" }
        offset += length
      case .truncated(let needs):
        return offset + needs > code.count ? nil : "cut off at \(offset), but it is all there"
      }
    }
    return nil
  }

  private static func roundTrip(_ code: [UInt8]) -> String? {
    let text = FalconDisassembler.listing(code).joined(separator: "\n")
    do throws(FalconAssemblyError) {
      let again = try FalconAssembler.assemble(text)
      return again.code == code ? nil : "the disassembly assembles to other bytes"
    } catch {
      return "the disassembly doesn't assemble: \(error.problems.first.map { "\($0)" } ?? "")"
    }
  }

  /// Runs the bytes as microcode, their second half also as data, under a channel and a method.
  private static func execute(_ code: [UInt8]) -> FuzzOutcome {
    let bench = PCOPYBench(budget: 1_000)
    let data = Array(code[(code.count / 2)...])
    var last = bench.start(code: code, data: data)
    if last.stop == nil { last = bench.switchChannel() }
    if last.stop == nil {
      last = bench.run(FalconMethod(subchannel: 4, offset: 0x300, data: 0x110))
    }
    switch last.stop {
    case nil: return .ended(last.isDone ? "took the method" : "runs on")
    case .some(let stop): return .ended(stopName(stop))
    }
  }

  private static func stopName(_ stop: FalconStop) -> String {
    switch stop {
    case .reset: "never started"
    case .exit: "exit"
    case .undefinedInstruction: "undefined instruction"
    case .unimplementedInstruction: "unimplemented instruction"
    case .codePageMissing: "code page missing"
    case .codePageAmbiguous: "code page ambiguous"
    case .codePageIncomplete: "code page incomplete"
    case .trap: "trap"
    case .doubleTrap: "double trap"
    case .transferFault: "transfer fault"
    }
  }
}
