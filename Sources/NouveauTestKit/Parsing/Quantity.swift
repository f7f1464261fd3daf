import Base

/// Reads the small languages inside scalars: sizes, durations, pages, comparisons, hex bytes.
///
/// Every function is total: nil for anything that doesn't fit the form or overflows.
enum Quantity {
  /// A decimal or `0x` number without sign.
  static func number(_ text: some StringProtocol) -> UInt64? {
    let digits = String(text.filter { $0 != "_" })
    guard let first = digits.first, first.isASCII, first.isNumber, !digits.contains("+")
    else { return nil }
    if digits.hasPrefix("0x") { return UInt64(digits.dropFirst(2), radix: 16) }
    return UInt64(digits)
  }

  /// Splits `64 KiB` into the number and the unit; the unit may be missing.
  private static func split(_ text: String) -> (value: UInt64, unit: String)? {
    let trimmed = trim(text)
    let head = trimmed.prefix { $0.isASCII && ($0.isNumber || $0 == "_") }
    guard let value = number(head) else { return nil }
    return (value, trim(String(trimmed.dropFirst(head.count))))
  }

  static func trim(_ text: some StringProtocol) -> String {
    let head = text.drop { $0 == " " || $0 == "\t" }
    let tail = head.reversed().drop { $0 == " " || $0 == "\t" }
    return String(tail.reversed())
  }

  /// Bytes: `512`, `64 KiB`, `2 MiB`, `1 GiB`, `259 pages`.
  static func size(_ text: String) -> UInt64? {
    guard let (value, unit) = split(text) else { return nil }
    let factor: UInt64
    switch unit {
    case "", "B", "bytes": factor = 1
    case "KiB": factor = 1 << 10
    case "MiB": factor = 1 << 20
    case "GiB": factor = 1 << 30
    case "page", "pages": factor = UInt64(PageSize.bytes)
    default: return nil
    }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
  }

  /// Bytes in the largest unit that divides them: `64 KiB`.
  static func sizeText(_ bytes: UInt64) -> String {
    for (unit, shift) in [("GiB", UInt64(30)), ("MiB", 20), ("KiB", 10)]
    where bytes >= 1 << shift && bytes.isMultiple(of: 1 << shift) {
      return "\(bytes >> shift) \(unit)"
    }
    return "\(bytes) B"
  }

  /// Nanoseconds: `5 ns`, `200 us`, `10 ms`, `15 s`. The unit is required.
  static func duration(_ text: String) -> UInt64? {
    guard let (value, unit) = split(text) else { return nil }
    let factor: UInt64
    switch unit {
    case "ns": factor = 1
    case "us", "µs": factor = 1_000
    case "ms": factor = 1_000_000
    case "s": factor = 1_000_000_000
    default: return nil
    }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
  }

  /// A page number written `P3`.
  private static func page(_ text: some StringProtocol) -> Int? {
    guard text.first == "P", let value = number(text.dropFirst()) else { return nil }
    // The bound keeps every product of a page number and the page size within Int.
    return value < 1 << 40 ? Int(value) : nil
  }

  /// Pages: `P3` or `P0..P15`; nil also when the ends stand in the wrong order.
  static func pages(_ text: String) -> PageRange? {
    let trimmed = trim(text)
    guard let dots = trimmed.firstRange(of: "..") else {
      return page(trimmed).map { PageRange($0, $0) }
    }
    guard let first = page(trimmed[..<dots.lowerBound]),
      let last = page(trimmed[dots.upperBound...]), first <= last
    else { return nil }
    return PageRange(first, last)
  }

  /// A byte within a mapping: `P3`, `P3+16`.
  static func offset(_ text: String) -> MappingOffset? {
    let parts = trim(text).split(separator: "+", omittingEmptySubsequences: false)
    guard parts.count <= 2, let head = parts.first, let page = page(trim(head)) else { return nil }
    guard parts.count == 2 else { return MappingOffset(bytes: page * PageSize.bytes) }
    guard let rest = number(trim(parts[1])), rest < UInt64(PageSize.bytes) else { return nil }
    return MappingOffset(bytes: page * PageSize.bytes + Int(rest))
  }

  /// A comparison: `3`, `>= 3`, `1..5`.
  static func comparison(_ text: String) -> Comparison? {
    let trimmed = trim(text)
    if let dots = trimmed.firstRange(of: "..") {
      guard let low = number(trim(trimmed[..<dots.lowerBound])),
        let high = number(trim(trimmed[dots.upperBound...])), low <= high
      else { return nil }
      return .within(low...high)
    }
    let forms: [(String, (UInt64) -> Comparison)] = [
      (">=", Comparison.atLeast), ("<=", Comparison.atMost), ("!=", Comparison.unequal),
      (">", Comparison.above), ("<", Comparison.below),
    ]
    for (sign, make) in forms where trimmed.hasPrefix(sign) {
      return number(trim(trimmed.dropFirst(sign.count))).map(make)
    }
    return number(trimmed).map(Comparison.equal)
  }

  /// Hex bytes, pairs of digits with spaces between where wanted: `de ad beef`.
  static func bytes(_ text: String) -> [UInt8]? {
    var result: [UInt8] = []
    var high: UInt8?
    for scalar in text.unicodeScalars {
      if scalar == " " {
        if high != nil { return nil }
        continue
      }
      guard scalar.isASCII, let digit = Character(scalar).hexDigitValue else { return nil }
      if let first = high {
        result.append(first << 4 | UInt8(digit))
        high = nil
      } else {
        high = UInt8(digit)
      }
    }
    return high == nil && !result.isEmpty ? result : nil
  }
}
