public import Base
import KernelRuntime

extension MemoryManager {
  /// The bytes of a device page are lost: each entry that names it becomes poison, so that a touch
  /// gets SIGBUS with `EHWPOISON` (`memory_failure` on device memory).
  ///
  /// Sleeps for the page's lock. True when the page went back to its driver; false when it was free
  /// already, or somebody else still holds a reference, which also keeps a huge page from being
  /// split.
  ///
  /// LOCKING: no process's `mmapLock` is needed; the page's lock must not be held.
  public func memoryFailure(_ pfn: PFN) async -> Bool {
    await kernel.point()
    invariant(!isSystemPage(pfn), "memory failure of \(pfn), which is no device page")
    guard pages[folio(pfn.index)].references > 0 else { return false }
    if isHuge(pfn) {
      do throws(KernelError) { try await splitFolio(pfn) } catch { return false }
      guard pages[pfn.index].references > 0 else { return false }
    }
    let isPrivate = pages[pfn.index].flags.contains(.devicePrivate)
    get(pfn)
    await lock(pfn)
    await revokeExclusive(pfn.index)
    for (_, space, address) in places(of: pfn.index) {
      let event = NotifierEvent(.unmap, VirtualRange(start: address, pages: 1))
      await space.invalidateStart(event)
      if let slot = space.leafSlot(address), tables.entries[slot].names(pfn.index) {
        tables.entries[slot] = .absent(.poison, pfn)
        space.tally.residentPages -= 1
        if isPrivate { space.tally.devicePages -= 1 }
        removeMapping(pfn.index)
      }
      space.invalidateEnd(event)
    }
    unlock(pfn)
    let isLast = pages[pfn.index].references == 1
    put(pfn)
    return isLast
  }
}
