import Base

/// The copies of one batch, before they become methods: pages that lie in a row on both sides are
/// one run, and each run is one launch of the copy engine.
struct CopyPlan {
  /// One launch.
  struct Run {
    /// Where the bytes come from; nil to clear.
    var source: CopyAddress?
    var destination: CopyAddress
    var pages: Int
  }

  private(set) var runs: [Run] = []
  /// Pages in all runs.
  private(set) var pages = 0

  var isEmpty: Bool { runs.isEmpty }

  /// Adds the copy of `count` pages in a row, or their clearing when `source` is nil; extends the
  /// last run when both sides follow on.
  mutating func add(from source: CopyAddress?, to destination: CopyAddress, pages count: Int) {
    pages += count
    if let last = runs.indices.last, runs[last].isFollowed(by: source, destination) {
      runs[last].pages += count
    } else {
      runs.append(Run(source: source, destination: destination, pages: count))
    }
  }

  /// Empties the plan and keeps its memory.
  mutating func removeAll() {
    runs.removeAll(keepingCapacity: true)
    pages = 0
  }
}

extension CopyPlan.Run {
  /// Bytes that the run moves.
  var bytes: UInt64 { UInt64(pages * PageSize.bytes) }

  fileprivate func isFollowed(by source: CopyAddress?, _ next: CopyAddress) -> Bool {
    guard destination.isFollowed(by: next, after: bytes) else { return false }
    switch (self.source, source) {
    case (nil, nil): return true
    case (let mine?, let other?): return mine.isFollowed(by: other, after: bytes)
    default: return false
    }
  }
}

extension CopyAddress {
  /// Whether `next` is the byte that lies `bytes` behind this address, in the same memory.
  fileprivate func isFollowed(by next: CopyAddress, after bytes: UInt64) -> Bool {
    switch (self, next) {
    case (.vram(let a), .vram(let b)): a + bytes == b
    case (.host(let a), .host(let b)): a + bytes == b
    case (.virtual(let a), .virtual(let b)): a + bytes == b
    default: false
    }
  }
}
