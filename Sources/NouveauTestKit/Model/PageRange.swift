import Base

/// A run of pages of one mapping, both ends included: `P0..P15`.
public struct PageRange: Hashable, Sendable, CustomStringConvertible {
  public let first: Int
  public let last: Int

  /// - Precondition: `0 <= first <= last`.
  public init(_ first: Int, _ last: Int) {
    invariant(0 <= first && first <= last, "page range P\(first)..P\(last)")
    self.first = first
    self.last = last
  }

  public var count: Int { last - first + 1 }
  /// The page numbers, in order.
  public var pages: ClosedRange<Int> { first...last }
  /// Bytes from the start of the mapping to the first page.
  public var byteOffset: Int { first * PageSize.bytes }
  /// Bytes in the pages.
  public var byteCount: Int { count * PageSize.bytes }

  public var description: String { first == last ? "P\(first)" : "P\(first)..P\(last)" }
}

/// A byte within a mapping: `P3+16`.
public struct MappingOffset: Hashable, Sendable, CustomStringConvertible {
  /// Bytes from the start of the mapping.
  public let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  public var page: Int { bytes / PageSize.bytes }
  public var description: String {
    let rest = bytes % PageSize.bytes
    return "P\(page)" + (rest == 0 ? "" : "+\(rest)")
  }
}
