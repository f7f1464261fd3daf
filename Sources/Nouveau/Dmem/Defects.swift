#if DEBUG
  /// Defects that the tests put back, one at a time, to show that the kit finds them
  /// (docs/decisions/0006-defects-behind-debug.md).
  ///
  /// Each has been in a driver of this kind: the entry of bugs.md or checks.md stands beside it.
  /// Nothing of this is in a release build; a tidy test holds every use within `#if DEBUG`.
  package enum Defect: CaseIterable, Sendable {
    /// A GPU fault that has to begin again keeps the mmap lock.
    case unlockSkipped
    /// The bus address of a page of RAM is forgotten, so nobody unmaps it (L02).
    case unmapMissed
    /// The end of a batch doesn't follow its start: only the first moves (N01).
    case chunkEndWrong
    /// A copy that failed counts as done (L04, A1).
    case fenceResultIgnored
    /// Pages are committed as soon as their copies are submitted (N04).
    case commitBeforeCopy
    /// The fence of a failed copy is told the error after it was signalled (F03).
    case errorOnSignalledFence
    /// The plan of an earlier batch is still in the scratch of the next (A5, A6).
    case staleArray
    /// A GPU fault that has to begin again keeps the reference that it took of the page.
    case referenceKept
    /// The notifier's sequence is taken after the lookup, so a change between is missed (R50).
    case sequenceTakenLate
    /// The GPU may write a page while it is copied (N20).
    case deviceAccessKept
  }
#endif
