/// Hexadecimal text in and out, the same way everywhere.
package enum HexText {
  /// `value` in at least `digits` hexadecimal digits, without a prefix.
  package static func bare(_ value: some BinaryInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// `value` in at least `digits` hexadecimal digits after `0x`.
  package static func prefixed(_ value: some BinaryInteger, digits: Int) -> String {
    "0x" + bare(value, digits: digits)
  }

  /// The number that `text` spells in hexadecimal digits alone; nil for anything else.
  ///
  /// Signs, prefixes and blanks are refused, unlike `UInt64(_:radix:)`, which takes a plus sign.
  package static func value(
    _ text: some StringProtocol, digits: ClosedRange<Int> = 1...16
  ) -> UInt64? {
    var result: UInt64 = 0
    var count = 0
    for byte in text.utf8 {
      guard let nibble = nibble(byte), count < digits.upperBound, count < 16 else { return nil }
      result = result << 4 | UInt64(nibble)
      count += 1
    }
    return count >= digits.lowerBound ? result : nil
  }

  /// As ``value(_:digits:)``, after an obligatory `0x`.
  package static func prefixedValue(_ text: some StringProtocol) -> UInt64? {
    guard text.hasPrefix("0x") else { return nil }
    return value(text.dropFirst(2))
  }

  /// The value of one hexadecimal digit in ASCII.
  package static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// `count` bytes as people say it: `16 MiB`, `128 B`.
  package static func size(_ count: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = count
    var unit = 0
    while value >= 1024, value % 1024 == 0, unit + 1 < units.count {
      value /= 1024
      unit += 1
    }
    return "\(value) \(units[unit])"
  }
}
