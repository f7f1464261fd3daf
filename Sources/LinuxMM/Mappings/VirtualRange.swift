public import Base

/// A half-open range of a process's virtual addresses.
public struct VirtualRange: Hashable, Sendable, CustomStringConvertible {
  public let start: VirtualAddress
  /// The first address past the range.
  public let end: VirtualAddress

  /// The range `start..<end`; traps when `end` lies below `start`.
  @inlinable
  public init(_ start: VirtualAddress, _ end: VirtualAddress) {
    invariant(start <= end, "range \(start)..<\(end)")
    self.start = start
    self.end = end
  }

  @inlinable
  public init(start: VirtualAddress, bytes: UInt64) { self.init(start, start + bytes) }

  @inlinable
  public init(start: VirtualAddress, pages: Int) {
    self.init(start, start + UInt64(pages) << UInt64(PageSize.shift))
  }

  /// Every address that a process can use: 47 bits on x86-64.
  public static let user = VirtualRange(VirtualAddress(0), VirtualAddress(1 << 47))

  @inlinable
  public var bytes: UInt64 { end.rawValue - start.rawValue }
  /// Whole pages in the range, whose ends are taken to be page aligned.
  @inlinable
  public var pages: Int { Int(bytes >> UInt64(PageSize.shift)) }
  @inlinable
  public var isEmpty: Bool { start == end }
  @inlinable
  public var isPageAligned: Bool { start.isPageAligned && end.isPageAligned }
  @inlinable
  public func contains(_ address: VirtualAddress) -> Bool { start <= address && address < end }
  @inlinable
  public func contains(_ other: VirtualRange) -> Bool { start <= other.start && other.end <= end }
  @inlinable
  public func overlaps(_ other: VirtualRange) -> Bool { start < other.end && other.start < end }

  /// What the two ranges share, or nil.
  @inlinable
  public func intersection(_ other: VirtualRange) -> VirtualRange? {
    overlaps(other) ? VirtualRange(max(start, other.start), min(end, other.end)) : nil
  }

  public var description: String { "\(start)..<\(end)" }
}

/// What a mapping allows (`PROT_*`).
public struct Protection: OptionSet, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// `PROT_READ`.
  public static let read = Protection(rawValue: 1)
  /// `PROT_WRITE`; x86 grants reading with it.
  public static let write = Protection(rawValue: 2)
  /// `PROT_EXEC`.
  public static let execute = Protection(rawValue: 4)
  /// Reading and writing.
  public static let readWrite: Protection = [.read, .write]
  /// `PROT_NONE`.
  public static let none: Protection = []

  public var description: String {
    (contains(.read) ? "r" : "-") + (contains(.write) ? "w" : "-")
      + (contains(.execute) ? "x" : "-")
  }
}
