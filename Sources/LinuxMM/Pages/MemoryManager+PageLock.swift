public import Base
import KernelRuntime

// The page lock is one bit, that of the first page for a huge page; sleepers wait on one of a few
// queues, chosen by frame number, and are woken when the bit is cleared.
extension MemoryManager {
  private static let waitTableSize = 64

  /// Whether the page's lock bit is set (`PageLocked`).
  public func isLocked(_ pfn: PFN) -> Bool {
    pages[folio(pfn.index)].flags.contains(.locked)
  }

  /// Locks the page if it is unlocked (`trylock_page`).
  public func tryLock(_ pfn: PFN) -> Bool {
    let pfn = folio(pfn.index)
    guard !pages[pfn].flags.contains(.locked) else { return false }
    pages[pfn].flags.insert(.locked)
    listLock(pfn)
    return true
  }

  /// Locks the page, sleeping while another holds it (`lock_page`).
  ///
  /// LOCKING: the caller holds a reference (M19).
  public func lock(_ pfn: PFN) async {
    await kernel.point()
    invariant(
      pages[folio(pfn.index)].references > 0, "lock of page \(pfn) without a reference")
    if let me = kernel.currentTask { kernel.lockChecks.mightWaitForPage(me) }
    if tryLock(pfn) { return }
    tally.pageLockWaits += 1
    _ = await waiters(of: pfn).wait(timeout: .max, for: .pageLock(pfn: pfn.rawValue)) {
      if tryLock(pfn) { return true }
      pages[folio(pfn.index)].flags.insert(.waiters)
      return false
    }
  }

  /// Unlocks the page and wakes who sleeps for it (`unlock_page`).
  public func unlock(_ pfn: PFN) { unlock(index: pfn.index) }

  @inline(__always)
  func unlock(index pfn: Int) {
    let flags = pages[pfn].flags
    guard flags.contains(.locked) else {
      invariant(flags.contains(.tail), "unlock of page \(pfn), which is not locked")
      return unlockFolio(pfn)
    }
    pages[pfn].flags = flags.subtracting([.locked, .waiters, .lockListed])
    if !flags.isDisjoint(with: [.waiters, .lockListed]) { afterUnlock(pfn, flags) }
  }

  private func unlockFolio(_ tail: Int) { unlock(index: folio(tail)) }

  private func afterUnlock(_ pfn: Int, _ flags: PageFlags) {
    if flags.contains(.lockListed) { unlistLock(pfn) }
    if flags.contains(.waiters) { pageWaiters[pfn % Self.waitTableSize]?.wakeAll() }
  }

  /// Sleeps until the page is unlocked or `isOver`, without a reference: a reference taken by a
  /// waiter would make the migration that it waits for fail (M20).
  func waitUnlocked(_ pfn: PFN, orUntil isOver: () -> Bool) async {
    if let me = kernel.currentTask { kernel.lockChecks.mightWaitForPage(me) }
    _ = await waiters(of: pfn).wait(timeout: .max, for: .pageLock(pfn: pfn.rawValue)) {
      if isOver() || !isLocked(pfn) { return true }
      pages[folio(pfn.index)].flags.insert(.waiters)
      return false
    }
  }

  private func waiters(of pfn: PFN) -> WaitQueue {
    if pageWaiters.isEmpty {
      pageWaiters = [WaitQueue?](repeating: nil, count: Self.waitTableSize)
    }
    let slot = folio(pfn.index) % Self.waitTableSize
    if let queue = pageWaiters[slot] { return queue }
    let queue = WaitQueue(kernel, "page lock \(slot)")
    pageWaiters[slot] = queue
    return queue
  }
}
