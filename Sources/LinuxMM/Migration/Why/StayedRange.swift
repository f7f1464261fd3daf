public import Base

/// Neighbouring pages that did not migrate for one reason.
public struct StayedRange: Hashable, Sendable {
  public internal(set) var range: VirtualRange
  public let reason: MigrationReason

  public init(_ range: VirtualRange, _ reason: MigrationReason) {
    self.range = range
    self.reason = reason
  }
}

extension [StayedRange] {
  /// Adds the places of one migration that stayed, in order; `start` is the address of place 0.
  public mutating func append(_ start: VirtualAddress, _ buffers: MigrationBuffers, pages: Int) {
    guard buffers.explains else { return }
    for place in 0..<pages {
      guard let reason = buffers.reason(place) else { continue }
      append(VirtualRange(start: start + UInt64(place) << 12, pages: 1), reason)
    }
  }

  /// Adds a range, as part of the last one when it continues that for the same reason.
  public mutating func append(_ range: VirtualRange, _ reason: MigrationReason) {
    if let last, last.range.end == range.start, last.reason == reason {
      self[count - 1].range = VirtualRange(last.range.start, range.end)
    } else {
      append(StayedRange(range, reason))
    }
  }
}
