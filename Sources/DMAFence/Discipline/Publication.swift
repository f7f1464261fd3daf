import KernelRuntime

extension Fence {
  /// The fence is about to be put where others wait for it without asking what it stands for: a
  /// reservation object, a sync file, a sync object.
  ///
  /// One whose work may stand still at a page fault doesn't belong there: serving the fault takes
  /// memory and locks, and those who have them may wait for such fences (R93).
  func willBePublished() {
    guard isBehindFaults else { return }
    kernel.lockChecks.publishesFaultingFence(kernel.current?.name ?? "a caller outside a run")
  }
}
