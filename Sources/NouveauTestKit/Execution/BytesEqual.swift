import Foundation

extension [UInt8] {
  /// Whether both hold the same bytes.
  ///
  /// UNSAFE: an unoptimised build compares arrays element by element through witnesses, which takes
  /// most of a run's time; memcmp reads both within their counts, which are equal, while both are
  /// borrowed.
  func hasBytes(of other: [UInt8]) -> Bool {
    guard count == other.count else { return false }
    if isEmpty { return true }
    return unsafe withUnsafeBytes { mine in
      unsafe other.withUnsafeBytes { theirs in
        guard let a = mine.baseAddress, let b = theirs.baseAddress else { return false }
        return unsafe memcmp(a, b, mine.count) == 0
      }
    }
  }

  /// As the comparison of two arrays for bytes that lie elsewhere.
  func hasBytes(of other: RawSpan) -> Bool {
    guard count == other.byteCount else { return false }
    if isEmpty { return true }
    return unsafe withUnsafeBytes { mine in
      unsafe other.withUnsafeBytes { theirs in
        guard let a = mine.baseAddress, let b = theirs.baseAddress else { return false }
        return unsafe memcmp(a, b, mine.count) == 0
      }
    }
  }
}
