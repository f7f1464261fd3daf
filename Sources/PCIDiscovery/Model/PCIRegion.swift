/// A base address register's window, as much of it as the source could tell.
public struct PCIRegion: Hashable, Sendable {
  /// Which of the two address spaces the window lies in.
  public enum Space: String, Sendable, Codable {
    case memory
    case io
  }

  /// The register's number, 0 to 5; a 64-bit window takes the number of its low half.
  public var index: Int
  public var space: Space
  /// Where the CPU finds the window; nil when no address was assigned or none is known.
  public var address: UInt64?
  /// Bytes; nil when the source doesn't say (a dump of configuration space alone can't).
  public var size: UInt64?
  /// Whether reads have no side effects, so that the window may be combined or cached.
  public var isPrefetchable: Bool
  /// Whether the window's address takes 64 bits.
  public var is64Bit: Bool

  public init(
    index: Int, space: Space, address: UInt64?, size: UInt64?, isPrefetchable: Bool, is64Bit: Bool
  ) {
    self.index = index
    self.space = space
    self.address = address
    self.size = size
    self.isPrefetchable = isPrefetchable
    self.is64Bit = is64Bit
  }
}

/// The expansion ROM's window.
public struct PCIExpansionROM: Hashable, Sendable {
  /// Nil when no address was assigned or none is known.
  public var address: UInt64?
  /// Bytes; nil when the source doesn't say.
  public var size: UInt64?

  public init(address: UInt64?, size: UInt64?) {
    self.address = address
    self.size = size
  }
}
