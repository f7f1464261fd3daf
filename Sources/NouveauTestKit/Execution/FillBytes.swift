import Base

extension FillSource {
  /// The bytes that a fill stores in `span`.
  func bytes(for span: ByteSpan) -> [UInt8] {
    switch self {
    case .index:
      Self.words(span) { offset in (UInt64(offset) &+ 8) &* 0x9e37_79b9_7f4a_7c15 }
    case .pageNumber:
      (0..<span.count).map { UInt8(truncatingIfNeeded: (span.offset + $0) / PageSize.bytes) }
    case .ones: [UInt8](repeating: 0xff, count: span.count)
    case .zeros: [UInt8](repeating: 0, count: span.count)
    case .random(let seed): Self.random(seed, span)
    case .bytes(let pattern):
      (0..<span.count).map { pattern[$0 % pattern.count] }
    case .file(_, let content):
      Array(content.prefix(span.count))
        + [UInt8](repeating: 0, count: max(0, span.count - content.count))
    }
  }

  /// Words by their offset in the mapping, so that a page's bytes tell which page they belong to.
  private static func words(_ span: ByteSpan, _ word: (Int) -> UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(span.count)
    for offset in stride(from: span.offset, to: span.offset + span.count, by: 8) {
      let value = word(offset)
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    }
    return bytes
  }

  private static func random(_ seed: UInt64, _ span: ByteSpan) -> [UInt8] {
    var generator = SplitMix64(seed: seed)
    return words(span) { _ in generator.next() }
  }
}
