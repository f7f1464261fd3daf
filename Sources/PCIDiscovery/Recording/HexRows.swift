/// Configuration space in a recording: a length, and rows of 16 bytes as `lspci` prints them.
///
/// Rows that are all zero are left out; the length says how much was read.
struct HexRows: Codable {
  var bytes: Int
  var rows: [String]

  init(_ content: [UInt8]) {
    bytes = content.count
    rows = []
    for start in stride(from: 0, to: content.count, by: 16) {
      let row = content[start..<min(start + 16, content.count)]
      if row.allSatisfy({ $0 == 0 }) { continue }
      let text = row.map { HexText.bare($0, digits: 2) }.joined(separator: " ")
      rows.append("\(HexText.bare(start, digits: 2)): \(text)")
    }
  }

  /// The bytes; on failure what is wrong with which row.
  func content() throws(HexRowError) -> [UInt8] {
    guard [0, 64, 256, 4096].contains(bytes) else {
      throw HexRowError(row: nil, "bytes is \(bytes)")
    }
    var result = [UInt8](repeating: 0, count: bytes)
    for (number, text) in rows.enumerated() {
      guard let row = HexRow(text) else {
        throw HexRowError(row: number, "'\(text.prefix(60))' is no row of 'offset: bytes'")
      }
      guard row.offset % 16 == 0, row.offset + row.bytes.count <= bytes else {
        throw HexRowError(row: number, "the row leaves the \(bytes) bytes of the space")
      }
      for (index, byte) in row.bytes.enumerated() { result[row.offset + index] = byte }
    }
    return result
  }
}

struct HexRowError: Error {
  var row: Int?
  var message: String

  init(row: Int?, _ message: String) {
    self.row = row
    self.message = message
  }
}

/// One row of a hexadecimal dump: `10: 00 00 00 92 …`.
struct HexRow {
  var offset: Int
  var bytes: [UInt8]

  /// Nil unless `text` is an offset of 2 or 3 digits, a colon, and 1 to 16 bytes of 2 digits.
  init?(_ text: some StringProtocol) {
    guard
      let colon = text.firstIndex(of: ":"),
      let offset = HexText.value(text[..<colon], digits: 2...3)
    else { return nil }
    let fields = text[text.index(after: colon)...].split(separator: " ")
    guard (1...16).contains(fields.count) else { return nil }
    var bytes: [UInt8] = []
    for field in fields {
      guard let byte = HexText.value(field, digits: 2...2) else { return nil }
      bytes.append(UInt8(byte))
    }
    self.offset = Int(offset)
    self.bytes = bytes
  }
}
