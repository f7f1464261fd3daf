/// A ROM's bytes, read little-endian and within bounds.
struct ROMBytes {
  let bytes: [UInt8]

  var count: Int { bytes.count }

  /// Whether `length` bytes stand at `offset`; takes any numbers.
  func holds(_ offset: Int, _ length: Int) -> Bool {
    offset >= 0 && length >= 0 && offset <= count && length <= count - offset
  }

  func u8(_ offset: Int) -> UInt8? { holds(offset, 1) ? bytes[offset] : nil }

  func u16(_ offset: Int) -> UInt16? {
    guard holds(offset, 2) else { return nil }
    return UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
  }

  func u32(_ offset: Int) -> UInt32? {
    guard let low = u16(offset), let high = u16(offset + 2) else { return nil }
    return UInt32(low) | UInt32(high) << 16
  }

  /// As ``u8(_:)`` and its sisters, but the lack of the bytes is an error about `what`.
  func need8(_ offset: Int, _ what: @autoclosure () -> String) throws(VBIOSError) -> UInt8 {
    guard let value = u8(offset) else { throw cut(offset, what()) }
    return value
  }

  func need16(_ offset: Int, _ what: @autoclosure () -> String) throws(VBIOSError) -> UInt16 {
    guard let value = u16(offset) else { throw cut(offset, what()) }
    return value
  }

  func need32(_ offset: Int, _ what: @autoclosure () -> String) throws(VBIOSError) -> UInt32 {
    guard let value = u32(offset) else { throw cut(offset, what()) }
    return value
  }

  private func cut(_ offset: Int, _ what: String) -> VBIOSError {
    VBIOSError(at: offset, "the file ends after \(count) bytes, before \(what)")
  }

  /// The sum of a range's bytes modulo 256; the range must lie in the file.
  func sum(_ range: Range<Int>) -> UInt8 {
    var total: UInt8 = 0
    for byte in bytes[range] { total &+= byte }
    return total
  }

  /// The first place at or after `start`, before `end`, where `pattern` stands.
  func find(_ pattern: [UInt8], from start: Int, to end: Int) -> Int? {
    let last = min(end, count) - pattern.count
    guard start >= 0, let first = pattern.first, start <= last else { return nil }
    for at in start...last where bytes[at] == first {
      if bytes[at...].starts(with: pattern) { return at }
    }
    return nil
  }

  /// Text up to a zero byte or `limit` bytes; what isn't printable ASCII shows as a dot.
  func text(_ offset: Int, limit: Int) -> String? {
    guard holds(offset, 1) else { return nil }
    let end = min(count, offset + max(0, limit))
    let raw = bytes[offset..<end].prefix { $0 != 0 }
    let clean = raw.map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: ".") }
    return String(decoding: clean, as: UTF8.self)
  }
}
