import Base
import Testing

@testable import Falcon

/// Values of each field of a row in steps, the other fields being drawn, and the limits of 16-bit
/// ones. With step 1 every value of each field is there.
private func words(
  of row: FalconEncoding, step: Int, _ random: inout SplitMix64
) -> [UInt32] {
  let fixed = row.isSized ? row.mask | 0xc0 : row.mask
  let free = ~fixed & FalconInstruction.mask(row.length)
  var list: [UInt32] = [0, free]
  func add(_ value: UInt32, at shift: UInt32) {
    let field: UInt32 = 0xff << shift
    let others = UInt32(truncatingIfNeeded: random.next())
    list.append((others & ~field | value << shift) & free)
  }
  for value in stride(from: UInt32(0), to: 256, by: step) {
    add(value, at: 8)
    if row.length > 2 { add(value, at: 16) }
    if row.length > 3 { add(value, at: 24) }
  }
  if row.length > 3 {
    for value: UInt32 in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xff7f, 0xff80, 0xffff] {
      list.append(value << 16 & free)
    }
  }
  return list
}

@Test func everyEncoding_assemblesBackFromItsText() throws {
  var random = SplitMix64(seed: 1)
  let address: UInt32 = 0x345
  var checked = 0
  for (index, row) in FalconEncoding.table.enumerated() {
    for size in row.isSized ? FalconSize.allCases : [.b8] {
      // All words of a row, so that each of its instructions has been seen in a few lines of text.
      var source = ""
      var expected: [UInt8] = []
      // Sizes and branch conditions differ in one place only: every value is met in one of them.
      let isVariant = size != .b8 || row.operation == .bra && index % 8 > 1
      let step = isVariant ? 7 : 1
      for word in words(of: row, step: step, &random) {
        let bytes = row.match | UInt32(size.rawValue) << 6 | word
        let outcome = FalconDecoder.decode(word: bytes)
        guard case .instruction(let instruction) = outcome else {
          Issue.record("row \(index): \(String(bytes, radix: 16)) decodes to \(outcome)")
          return
        }
        #expect(instruction.row == index, "\(String(bytes, radix: 16)) is row \(instruction.row)")
        let here = address + UInt32(expected.count)
        source += FalconDisassembler.text(instruction, at: here) + "\n"
        expected += instruction.bytes
        checked += 1
      }
      let parser = AssemblerParser(source: source, file: "row\(index)")
      #expect(parser.problems.isEmpty, "\(parser.problems.first?.description ?? "")")
      var layout = AssemblerLayout(parser, origin: address)
      let program = try layout.program()
      if program.code != expected {
        let at = zip(program.code, expected).enumerated().first { $0.element.0 != $0.element.1 }
        Issue.record("row \(index) \(row.mnemonic) \(size) differs at byte \(at?.offset ?? -1)")
      }
    }
  }
  #expect(checked > 50_000, "only \(checked) encodings were checked")
}

@Test func everyFirstThreeBytes_decodeToTheirOwnBytesOrUndefined() {
  // Every value of the first two bytes, and of the third one in steps that meet each low and high
  // half.
  var defined = 0
  for first in UInt32(0)..<256 {
    for second in UInt32(0)..<256 {
      for third in stride(from: UInt32(0), to: 256, by: 17) {
        let word = first | second << 8 | third << 16 | 0x5a00_0000
        switch FalconDecoder.decode(word: word) {
        case .instruction(let instruction):
          defined += 1
          let mask = FalconInstruction.mask(instruction.length)
          if instruction.word != word & mask {
            Issue.record("\(String(word, radix: 16)) lost bits")
            return
          }
        case .undefined(let bytes, let length):
          if bytes != word & FalconInstruction.mask(length) {
            Issue.record("\(String(word, radix: 16)) lost bits")
            return
          }
        case .truncated:
          Issue.record("\(String(word, radix: 16)) is whole")
          return
        }
      }
    }
  }
  #expect(defined > 300_000)
}

@Test func decoder_saysHowManyBytesAreMissing() {
  #expect(FalconDecoder.decode([], at: 0) == .truncated(needs: 1))
  #expect(FalconDecoder.decode([0xf1, 0x17, 0x00], at: 0) == .truncated(needs: 4))
  #expect(FalconDecoder.decode([0xf8], at: 0) == .truncated(needs: 2))
  #expect(FalconDecoder.decode([0xf8, 0x00], at: -1) == .truncated(needs: 1))
  #expect(FalconDecoder.decode([0xf8, 0x05], at: 0) == .undefined(word: 0x5f8, length: 2))
}

@Test func listing_keepsBytesThatAreNoInstruction() throws {
  let code: [UInt8] = [0xf8, 0x05, 0xf8, 0x00, 0xf1, 0x17]
  let lines = FalconDisassembler.listing(code)
  #expect(lines == [".b8 0xf8 0x5", "ret", ".b8 0xf1 0x17"])
  #expect(try FalconAssembler.assemble(lines.joined(separator: "\n")).code == code)
}
