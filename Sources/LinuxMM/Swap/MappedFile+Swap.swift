import Base
import KernelRuntime

// Shared memory in swap space. No page-table entry names such a slot: the file remembers it under
// the page's index, and a fault finds it there, as in the kernel's page cache.
extension MappedFile {
  /// Whether the page at `index` has bytes, in RAM or in swap space.
  func hasPage(_ index: UInt64) -> Bool { cache[index] != nil || swapped[index] != nil }

  /// Frees the slots of a range (`shmem_free_swap`).
  func dropSwapped(_ range: Range<UInt64>) {
    while let (index, slot) = swapped.first(in: range) {
      swapped[index] = nil
      manager.releaseShared(slot)
    }
  }

  /// Reads a page back into the cache (`shmem_swapin_folio`): locked, with a reference for the
  /// caller; nil when somebody else was faster.
  ///
  /// `ENOMEM`, or `EIO` when the device refuses: the bytes stay in their slot.
  func readSwapped(
    _ index: UInt64, _ slot: Int, for space: AddressSpace?
  ) async throws(KernelError) -> PFN? {
    let pfn = try await manager.allocatePage(for: space, swapSlot: slot)
    // The allocation may have slept.
    guard swapped[index] == slot, cache[index] == nil, index < pageCount else {
      manager.put(pfn)
      return nil
    }
    insertPage(pfn, index)
    guard await manager.copyFromSwap(pfn.index, slot) else {
      removePage(pfn, index)
      manager.unlock(pfn)
      manager.put(pfn)
      throw .EIO
    }
    markDirty(pfn)
    dropSwapped(index..<index + 1)
    return pfn
  }

  /// Reads back all that is in swap space (`shmem_unuse`).
  func bringBackSwapped() async throws(KernelError) {
    while let (index, _) = swapped.first(in: 0..<UInt64.max) {
      let pfn = try await fetch(index)
      manager.unlock(pfn)
      manager.put(pfn)
    }
  }
}

extension MemoryManager {
  /// Moves a page of shared memory to swap space (`shmem_writepage`); false when it stays, unmapped
  /// perhaps.
  ///
  /// LOCKING: the page is locked, off the LRU and has the caller's reference, which goes with it.
  func swapOutShared(_ pfn: Int, _ file: MappedFile) async -> Bool {
    let index = pages[pfn].anonymous.index
    guard file.swapped[index] == nil, let slot = takeSlot(for: pfn) else { return false }
    swapArea.slots[slot].entries = 1
    file.swapped[index] = slot
    await forEachMapping(pfn) { space, place, entry in
      // What a handler protects stays so.
      tables.entries[place] = entry.isUserfaultWriteProtected ? .protectMarker : .none
      space.unmapForReclaim(pfn)
    }
    // The cache and we: else somebody holds the page, or waits for its lock.
    guard isOnlyCached(pfn), await copyToSwap(pfn, slot), isOnlyCached(pfn),
      file.swapped[index] == slot
    else {
      if file.swapped[index] == slot { file.dropSwapped(index..<index + 1) }
      return false
    }
    file.removePage(PFN(UInt64(pfn)), index)
    tally.pagesReclaimed += 1
    unlockAndDrop(pfn)
    return true
  }

  private func isOnlyCached(_ pfn: Int) -> Bool {
    pages[pfn].mappings == 0 && pages[pfn].references == 2
      && pages[pfn].flags.contains(.pageCache)
  }

  /// A slot of shared memory is no longer needed.
  func releaseShared(_ slot: Int) {
    swapArea.slots[slot].entries -= 1
    releaseSlot(slot)
  }
}
