/// What a copy unit did with one trigger.
public struct PCOPYCopy: Hashable, Sendable {
  /// Where the bytes came from, or nil when the swizzle made them all.
  public let source: FalconMemoryTarget?
  /// The first line's first byte.
  public let sourceAddress: UInt64
  public let destination: FalconMemoryTarget
  /// The first line's first byte.
  public let destinationAddress: UInt64
  public let lines: Int
  /// Bytes written for each line.
  public let lineBytes: Int
  public let isSwizzled: Bool
  /// The core cycle at which it was done.
  public let cycle: UInt64
}

/// Hears of the copies of a ``PCOPYEngineIO``.
public protocol PCOPYObserver: AnyObject {
  func pcopyDidCopy(_ copy: PCOPYCopy)
}
