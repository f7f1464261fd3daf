/// Finds the table's row for a byte sequence.
public enum FalconDecoder {
  /// The result of looking at the bytes of one instruction.
  public enum Outcome: Hashable, Sendable {
    case instruction(FalconInstruction)
    /// No row matches; the length is what the first byte's form would take.
    case undefined(word: UInt32, length: Int)
    /// The bytes end before the instruction does.
    case truncated(needs: Int)
  }

  /// The rows that a first byte can mean.
  private static let candidates: [[Int]] = (0..<256).map { first in
    FalconEncoding.table.indices.filter { row in
      let encoding = FalconEncoding.table[row]
      return encoding.isSized
        ? first < 0xc0 && UInt8(first & 0x3f) == encoding.opcode
        : UInt8(first) == encoding.opcode
    }
  }

  /// Decodes the low bytes of `word`, of which `available` are there.
  public static func decode(word: UInt32, available: Int = 4) -> Outcome {
    guard available > 0 else { return .truncated(needs: 1) }
    let first = UInt8(truncatingIfNeeded: word)
    let length = FalconEncoding.length(ofFirstByte: first)
    guard available >= length else { return .truncated(needs: length) }
    let bytes = word & FalconInstruction.mask(length)
    for row in candidates[Int(first)] {
      let encoding = FalconEncoding.table[row]
      if bytes & encoding.mask == encoding.match {
        return .instruction(FalconInstruction(row: row, word: bytes))
      }
    }
    return .undefined(word: bytes, length: length)
  }

  /// Decodes the instruction at `offset` of `code`; an offset outside is truncated.
  public static func decode(_ code: [UInt8], at offset: Int) -> Outcome {
    guard offset >= 0, offset < code.count else { return .truncated(needs: 1) }
    let available = min(4, code.count - offset)
    var word: UInt32 = 0
    for index in 0..<available {
      word |= UInt32(code[offset + index]) << UInt32(index * 8)
    }
    return decode(word: word, available: available)
  }
}
