extension KeyedEncodingContainer {
  /// Encodes a number as `0x…`, as every other tool of the field writes ids and addresses.
  mutating func encodeHex(_ value: some BinaryInteger, digits: Int, forKey key: Key) throws {
    try encode(HexText.prefixed(value, digits: digits), forKey: key)
  }

  mutating func encodeHexIfPresent<T: BinaryInteger>(
    _ value: T?, digits: Int, forKey key: Key
  ) throws {
    if let value { try encodeHex(value, digits: digits, forKey: key) }
  }
}

extension KeyedDecodingContainer {
  /// Decodes a number written as `0x…` that fits `T`.
  func decodeHex<T: FixedWidthInteger>(_ type: T.Type, forKey key: Key) throws -> T {
    let text = try decode(String.self, forKey: key)
    guard let wide = HexText.prefixedValue(text), let value = T(exactly: wide) else {
      throw DecodingError.dataCorruptedError(
        forKey: key, in: self,
        debugDescription: "'\(text.prefix(40))' is no hexadecimal number of \(T.bitWidth) bits,"
          + " such as \"0x10de\"")
    }
    return value
  }

  func decodeHexIfPresent<T: FixedWidthInteger>(_ type: T.Type, forKey key: Key) throws -> T? {
    guard contains(key), try !decodeNil(forKey: key) else { return nil }
    return try decodeHex(type, forKey: key)
  }

  /// Decodes a number in a range.
  func decodeNumber(
    _ range: ClosedRange<Int>, _ what: String, forKey key: Key
  ) throws -> Int {
    let value = try decode(Int.self, forKey: key)
    guard range.contains(value) else {
      throw DecodingError.dataCorruptedError(
        forKey: key, in: self,
        debugDescription: "\(what) is \(value), not in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }
}
