public import Base
import KernelRuntime

// Memory errors in RAM. Those in device memory: `Devices/MemoryManager+MemoryFailure.swift`.
extension MemoryManager {
  /// The bytes of a page in RAM are lost (`memory_failure`): it is taken out of use, and whoever
  /// needs the bytes gets SIGBUS with `EHWPOISON`.
  ///
  /// A free page is never handed out again. A page whose bytes are elsewhere too, in swap space or
  /// in a file, is dropped and read again when it is touched. Otherwise each entry that maps it
  /// becomes poison, which a child inherits and only unmapping ends.
  ///
  /// - `ENXIO`: no RAM
  /// - `EHWPOISON`: known already
  /// - `EBUSY`: the zero page, a huge page that can't be split or is of the hugetlb pool, or a page
  ///   that somebody still holds: it is unmapped, and goes out of use when the last holder lets go
  ///
  /// Sleeps for the page's lock. LOCKING: no process's `mmapLock` is needed.
  public func memoryFailure(ofRAM pfn: PFN) async throws(KernelError) {
    await kernel.point()
    guard isSystemPage(pfn) else { throw .ENXIO }
    let page = pfn.index
    guard !pages[page].flags.contains(.hwPoison) else { throw .EHWPOISON }
    guard page != 0, !pages[page].flags.contains(.hugetlb) else { throw .EBUSY }
    if frames.remove(page) { return frames.retire(page) }
    if isHuge(pfn) {
      do throws(KernelError) { try await splitFolio(pfn) } catch { throw .EBUSY }
      guard pages[page].references > 0 else { return try await memoryFailure(ofRAM: pfn) }
    }
    get(pfn)
    pages[page].flags.insert(.hwPoison)
    await drainLRUOfAllCPUs()
    await lock(pfn)
    // A migration that had the page may have put it into a batch again.
    lru.drainAll()
    if pages[page].flags.contains(.lru) { lru.unlink(page) }
    await unmapPoisoned(page)
    await dropPoisonedCopies(page)
    let isLast = pages[page].references == 1
    unlockCached(page)
    // A page in the swap cache or of shared memory stays there as the sign of the loss.
    guard isLast || isKeptAsSign(page) else { throw .EBUSY }
  }

  /// Replaces the entries of a broken page: by swap entries when it is in the swap cache, by
  /// nothing when a file has the bytes, else by poison (`try_to_unmap` with `TTU_HWPOISON`).
  private func unmapPoisoned(_ pfn: Int) async {
    await revokeExclusive(pfn)
    // What the entries know of writes decides what is lost.
    for (_, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address), tables.entries[slot].names(pfn) else { continue }
      if tables.entries[slot].isDirty { pages[pfn].flags.insert(.dirty) }
    }
    if pages[pfn].flags.contains(.swapCache) { return await replaceBySwapEntries(pfn) }
    let isElsewhere =
      pages[pfn].anonymous.isFile && pages[pfn].flags.isDisjoint(with: [.dirty, .sharedMemory])
    await forEachMapping(pfn) { space, slot, _ in
      tables.entries[slot] = isElsewhere ? .none : .absent(.poison, PFN(UInt64(pfn)))
      space.unmapForReclaim(pfn)
    }
  }

  /// Takes a broken page out of the caches that can read its bytes again (`me_swapcache_clean`,
  /// `me_pagecache_clean`); lost changes of a file are lost (`me_pagecache_dirty`).
  private func dropPoisonedCopies(_ pfn: Int) async {
    let flags = pages[pfn].flags
    guard pages[pfn].mappings == 0 else { return }
    if flags.contains(.swapCache) {
      if flags.contains(.dirty) {
        pages[pfn].flags.remove(.uptodate)
      } else {
        leaveSwapCache(pfn)
      }
    } else if flags.contains(.pageCache), !flags.contains(.sharedMemory),
      let file = files[pages[pfn].anonymous.region]
    {
      file.removePage(PFN(UInt64(pfn)), pages[pfn].anonymous.index)
    }
  }

  private func isKeptAsSign(_ pfn: Int) -> Bool {
    let flags = pages[pfn].flags
    let isCached = flags.contains(.swapCache) || flags.isSuperset(of: [.pageCache, .sharedMemory])
    return isCached && pages[pfn].references == 1
  }

  /// Whether the page is known to be broken (`PageHWPoison`).
  public func isPoisoned(_ pfn: PFN) -> Bool { pages[pfn.index].flags.contains(.hwPoison) }

  /// Gives a page that went out of use back (`unpoison_memory`); entries that became poison stay.
  ///
  /// `EINVAL` for a page that isn't broken, `EBUSY` for one that is still held.
  public func unpoison(_ pfn: PFN) throws(KernelError) {
    guard isSystemPage(pfn), isPoisoned(pfn) else { throw .EINVAL }
    guard pages[pfn.index].flags == .hwPoison else { throw .EBUSY }
    frames.give(pfn.index)
  }
}
