/// What the device memory path has done since the driver was bound. All counts are pages unless the
/// name says otherwise.
public struct DmemCounters: Hashable, Sendable {
  /// Moved to the device by bulk migration.
  public var toDevice: UInt64 = 0
  /// Of these, filled with zeros instead of copied: holes and zero pages.
  public var cleared: UInt64 = 0
  /// Brought back by CPU faults, the windows around them included.
  public var toRAM: UInt64 = 0
  /// Brought back by eviction.
  public var evicted: UInt64 = 0
  /// CPU faults that ``Dmem`` was asked to serve.
  public var faults: UInt64 = 0
  /// CPU faults that ended in SIGBUS.
  public var faultErrors: UInt64 = 0
  /// Asked for in bulk and left where they were.
  public var skipped: UInt64 = 0
  /// Whose copy failed or timed out; they kept their old place.
  public var copyFailures: UInt64 = 0
  /// Whose bytes are lost: the device died with them.
  public var lost: UInt64 = 0
  /// Launches of the copy engine.
  public var launches: UInt64 = 0
  /// Chunks made and given back.
  public var chunksMade: UInt64 = 0
  public var chunksReturned: UInt64 = 0
  /// Huge pages that moved to the device as one, and back as one; their base pages are counted in
  /// ``toDevice`` and the like as well.
  public var hugeToDevice: UInt64 = 0
  public var hugeToRAM: UInt64 = 0
  /// Huge pages that went as base pages for want of a whole chunk, or of a huge page of RAM.
  public var hugeSplits: UInt64 = 0
  /// Huge pages of the device that became base pages, for whatever reason.
  public var folioSplits: UInt64 = 0
  /// Copied from another GPU's memory; counted in ``toDevice`` as well.
  public var fromPeers: UInt64 = 0
  /// How often pages of another GPU were to be copied directly and could not be.
  public var peerFallbacks: UInt64 = 0

  /// Tries of a unified walk that were vain because the range had just been invalidated.
  public var walkRetries: UInt64 = 0

  public init() {}

  /// Names and values in the order of declaration, for reports.
  public var table: [(name: String, value: UInt64)] {
    [
      ("toDevice", toDevice), ("cleared", cleared), ("toRAM", toRAM), ("evicted", evicted),
      ("faults", faults), ("faultErrors", faultErrors), ("skipped", skipped),
      ("copyFailures", copyFailures), ("lost", lost), ("launches", launches),
      ("chunksMade", chunksMade), ("chunksReturned", chunksReturned),
      ("hugeToDevice", hugeToDevice), ("hugeToRAM", hugeToRAM), ("hugeSplits", hugeSplits),
      ("folioSplits", folioSplits), ("fromPeers", fromPeers), ("peerFallbacks", peerFallbacks),
      ("walkRetries", walkRetries),
    ]
  }
}
