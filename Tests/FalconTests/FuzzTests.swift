import Base
import Foundation
import Testing

@testable import Falcon

/// Inputs for each fuzz test: `FALCON_FUZZ_INPUTS` for a long run, `FALCON_FUZZ_SEED` to choose
/// others.
private enum Fuzz {
  static func number(_ name: String, otherwise: UInt64) -> UInt64 {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? otherwise
  }
  static let inputs = number("FALCON_FUZZ_INPUTS", otherwise: 3000)
  static let seed = number("FALCON_FUZZ_SEED", otherwise: 7)
  static func replay(_ input: UInt64) -> String {
    "replay: FALCON_FUZZ_SEED=\(seed) FALCON_FUZZ_INPUTS=\(input + 1)"
  }
  static func generator(_ input: UInt64) -> SplitMix64 {
    SplitMix64(seed: seed &* 0x1_0000_0001 &+ input)
  }

  /// A few bytes changed, removed, repeated or put in.
  static func mutate(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.below(6) {
      guard !bytes.isEmpty else { return [UInt8(truncatingIfNeeded: random.next())] }
      let at = random.below(bytes.count)
      switch random.below(5) {
      case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 1: bytes[at] ^= 1 << UInt8(random.below(8))
      case 2: bytes.remove(at: at)
      case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
      default: bytes.removeLast(random.below(min(bytes.count, 40)))
      }
    }
    return bytes
  }
}

@Test func fuzz_decoderKeepsEveryByte() {
  for input in 0..<Fuzz.inputs {
    var random = Fuzz.generator(input)
    let word = UInt32(truncatingIfNeeded: random.next())
    let available = random.below(6) - 1
    switch FalconDecoder.decode(word: word, available: available) {
    case .instruction(let instruction):
      if instruction.word != word & FalconInstruction.mask(instruction.length) {
        Issue.record("\(Fuzz.replay(input))")
      }
      _ = FalconMicroOp(instruction, at: word >> 3)
    case .undefined(_, let length): if length > available { Issue.record("\(Fuzz.replay(input))") }
    case .truncated(let needs): if needs <= available { Issue.record("\(Fuzz.replay(input))") }
    }
  }
}

@Test func fuzz_coreSurvivesAnyCode() {
  // Whole programs of drawn bytes, half of them real opcodes: each ends in a named state.
  for input in 0..<Fuzz.inputs / 30 {
    var random = Fuzz.generator(input)
    var code: [UInt8] = []
    while code.count < 0x300 {
      if random.chance(1, in: 8) {
        code.append(UInt8(truncatingIfNeeded: random.next()))
      } else {
        let row = FalconEncoding.table[random.below(FalconEncoding.table.count)]
        let size: UInt32 = row.isSized ? UInt32(random.below(3)) << 6 : 0
        let word = row.match | size | UInt32(truncatingIfNeeded: random.next()) & ~row.mask & ~0xc0
        code += (0..<row.length).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
      }
    }
    let machine = PCOPYMachine(code: code, data: code)
    machine.addChannel()
    machine.core.requestChannelSwitch(to: PCOPYMachine.channel)
    _ = machine.core.push(FalconMethod(number: 5, data: 6))
    machine.core.run(cycles: 3000)
    #expect(machine.core.programCounter <= 0x7fff, "\(Fuzz.replay(input))")
  }
}

@Test func fuzz_assemblerAnswersEverySource() throws {
  let sample = Array(
    """
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
    """.utf8)
  for input in 0..<Fuzz.inputs / 3 {
    var random = Fuzz.generator(input)
    let text = String(decoding: Fuzz.mutate(sample, &random), as: UTF8.self)
    do {
      let program = try FalconAssembler.assemble(text)
      // What it accepted, the decoder knows.
      #expect(program.code.count <= 0x10000, "\(Fuzz.replay(input))")
    } catch {
      #expect(!error.problems.isEmpty, "\(Fuzz.replay(input))")
    }
  }
}

@Test func fuzz_containerAnswersEveryFile() throws {
  let good = FirmwareContainer(
    program: try FalconAssembler.assemble("start: bra start\n.section data\n.b32 1 2"),
    chip: 0xc0, version: 9)
  let bytes = good.bytes
  var accepted = 0
  for input in 0..<Fuzz.inputs {
    var random = Fuzz.generator(input)
    let file = Fuzz.mutate(bytes, &random)
    if let container = try? FirmwareContainer(parsing: file) {
      accepted += 1
      #expect(container.code == good.code, "\(Fuzz.replay(input))")
      #expect(container.data == good.data, "\(Fuzz.replay(input))")
    }
  }
  #expect(accepted < Fuzz.inputs / 2)
}
