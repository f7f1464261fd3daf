import Base

extension AddressSpaceCounters {
  /// Pages of every kind (`get_mm_rss`).
  public var rss: Int { residentPages + filePages + sharedMemoryPages }

  /// Counts `change` entries for a page, by what it is (`mm_counter`).
  @inline(__always)
  mutating func count(_ record: PageRecord, _ change: Int) {
    if record.anonymous.isAnonymous {
      residentPages += change
    } else {
      countShared(record, change)
    }
  }

  private mutating func countShared(_ record: PageRecord, _ change: Int) {
    if record.flags.contains(.sharedMemory) {
      sharedMemoryPages += change
    } else {
      filePages += change
    }
  }
}
