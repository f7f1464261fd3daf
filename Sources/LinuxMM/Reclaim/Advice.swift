/// What a process says about a range of its memory (`madvise`, `MADV_*`).
public enum Advice: Hashable, Sendable, CaseIterable {
  /// `MADV_DONTNEED`: drop the pages now; they read as zeroes.
  case dontNeed
  /// `MADV_FREE`: drop the pages under pressure, unless they are written first.
  case free
  /// `MADV_COLD`: reclaim these first.
  case cold
  /// `MADV_PAGEOUT`: reclaim these now.
  case pageOut
  /// `MADV_WILLNEED`: begin to read what is in swap space.
  case willNeed
  /// `MADV_POPULATE_READ`: fault everything in for reading.
  case populateRead
  /// `MADV_POPULATE_WRITE`: fault everything in for writing.
  case populateWrite
}
