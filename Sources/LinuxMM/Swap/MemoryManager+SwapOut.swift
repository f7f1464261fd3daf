import Base
import KernelRuntime

extension MemoryManager {
  /// Tries to free one page of the LRU (`shrink_folio_list`): an anonymous page goes to swap space,
  /// a lazily freed one is dropped. True when the page is free.
  ///
  /// A page in use keeps its place and is put back as the most recent one: one that was touched
  /// since the last look, unless `ignoresUse`; one that is pinned or locked in memory; one for
  /// which there is no room in swap space; one whose write fails.
  ///
  /// LOCKING: page locks are only tried, so any lock of a process may be held. Mirrors of the page
  /// are told and may sleep.
  func reclaimPage(_ pfn: Int, ignoresUse: Bool = false) async -> Bool {
    if pages[pfn].flags.contains(.head), !(await splitForReclaim(pfn, ignoresUse: ignoresUse)) {
      return false
    }
    let flags = pages[pfn].flags
    guard flags.contains(.lru), flags.isDisjoint(with: [.locked, .large]),
      pages[pfn].anonymous != .none,
      tryLock(PFN(UInt64(pfn)))
    else {
      return false
    }
    lru.unlink(pfn)
    pages[pfn].references += 1
    if await evict(pfn, ignoresUse: ignoresUse) { return true }
    lru.add(pfn, cpu: currentCPU)
    unlockCached(pfn)
    return false
  }

  /// LOCKING: the page is locked, off the LRU and has the caller's reference, which goes with it.
  private func evict(_ pfn: Int, ignoresUse: Bool) async -> Bool {
    let flags = pages[pfn].flags
    guard !flags.contains(.mlocked), pages[pfn].extra == 0 else { return false }
    if !ignoresUse && clearYoung(pfn) { return false }
    if pages[pfn].anonymous.isFile { return await evictFilePage(pfn) }
    if flags.contains(.lazyFree) {
      await dropLazyMappings(pfn)
    } else {
      guard flags.contains(.swapCache) || addToSwap(pfn) else { return false }
      await replaceBySwapEntries(pfn)
    }
    guard pages[pfn].mappings == 0 else { return false }
    if pages[pfn].flags.contains(.swapCache) {
      if pages[pfn].flags.contains(.dirty) {
        guard await writeToSwap(pfn) else { return false }
      }
      // Only the cache and we: else somebody has looked the page up meanwhile.
      guard pages[pfn].references == 2, !pages[pfn].flags.contains(.dirty) else { return false }
      leaveSwapCache(pfn)
    } else {
      guard pages[pfn].references == 1 else { return false }
    }
    tally.pagesReclaimed += 1
    unlockAndDrop(pfn)
    return true
  }

  /// Frees a clean page of a file; the file keeps its bytes. Shared memory goes to swap space.
  private func evictFilePage(_ pfn: Int) async -> Bool {
    let place = pages[pfn].anonymous
    guard let file = files[place.region] else { return false }
    if pages[pfn].flags.contains(.sharedMemory) { return await swapOutShared(pfn, file) }
    await forEachMapping(pfn) { space, slot, entry in
      if entry.isDirty { pages[pfn].flags.insert(.dirty) }
      tables.entries[slot] = .none
      space.unmapForReclaim(pfn)
    }
    // The cache and we; a dirty page waits for its writing back.
    guard pages[pfn].references == 2, pages[pfn].anonymous == place,
      !pages[pfn].flags.contains(.dirty)
    else { return false }
    file.removePage(PFN(UInt64(pfn)), place.index)
    tally.pagesReclaimed += 1
    unlockAndDrop(pfn)
    return true
  }

  /// Whether an entry was used since the last look; the mark is taken off (`folio_referenced`).
  private func clearYoung(_ pfn: Int) -> Bool {
    typealias Bit = PageTableEntry.Bit
    var wasUsed = false
    for (_, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address) else { continue }
      let entry = tables.entries[slot]
      guard entry.isPresent, entry.frame.index == pfn, entry.isYoung else { continue }
      tables.entries[slot] = entry.without(Bit.young)
      wasUsed = true
    }
    return wasUsed
  }

  /// Gives the page a slot of swap space (`add_to_swap`); it is dirty until it has been written.
  private func addToSwap(_ pfn: Int) -> Bool {
    guard let slot = takeSlot(for: pfn) else { return false }
    enterSwapCache(pfn, slot: slot)
    pages[pfn].flags.insert(.dirty)
    return true
  }

  /// A slot for a page, charged to the page's group (`folio_alloc_swap`); nil when there is none.
  func takeSlot(for pfn: Int) -> Int? {
    guard let swap, let slot = swap.take() else { return nil }
    if let groups {
      guard groups.chargeSwap(pfn) else {
        swap.give(slot)
        return nil
      }
      swap.slots[slot].link = UInt32(groups.number(of: pfn))
    }
    swap.slots[slot].place = pages[pfn].anonymous
    return slot
  }

  /// Replaces every entry that maps the page by a swap entry (`try_to_unmap`).
  func replaceBySwapEntries(_ pfn: Int) async {
    await forEachMapping(pfn) { space, slot, entry in
      typealias Bit = PageTableEntry.Bit
      let isExclusive = pages[pfn].flags.contains(.exclusive)
      // A pin taken meanwhile keeps the entry (`folio_try_share_anon_rmap`).
      if isExclusive && pages[pfn].extra > 0 { return }
      let swapSlot = swapArea.ofPage[pfn]
      pages[pfn].flags.remove(.exclusive)
      if entry.isDirty { pages[pfn].flags.insert(.dirty) }
      swapArea.slots[Int(swapSlot)].entries += 1
      tables.entries[slot] = .absent(
        .swap, PFN(UInt64(swapSlot)),
        entry.rawValue & Bit.software | (isExclusive ? Bit.exclusive : 0))
      space.tally.swapEntries += 1
      space.unmapForReclaim(pfn)
    }
  }

  /// Takes a lazily freed page out of every table, unless it was written or is used otherwise: then
  /// it is an ordinary page again.
  private func dropLazyMappings(_ pfn: Int) async {
    await forEachMapping(pfn) { space, slot, entry in
      if entry.isDirty { pages[pfn].flags.insert(.dirty) }
      let isUnused = pages[pfn].references == pages[pfn].mappings + 1
      guard isUnused && !pages[pfn].flags.contains(.dirty) else {
        pages[pfn].flags.remove(.lazyFree)
        return
      }
      tables.entries[slot] = .none
      space.unmapForReclaim(pfn)
    }
  }

  /// Visits the present entries that map the page; each mapping's mirrors are told first.
  func forEachMapping(
    _ pfn: Int, _ body: (AddressSpace, _ slot: Int, PageTableEntry) -> Void
  ) async {
    for (_, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address), tables.entries[slot].isPresent,
        tables.entries[slot].frame.index == pfn
      else { continue }
      let event = NotifierEvent(.clear, VirtualRange(start: address, pages: 1))
      let notifies = !space.notifiers.isEmpty || kernel.trace.isOn
      if notifies { await space.invalidateStart(event) }
      // The mirrors may have slept: look again.
      if let slot = space.leafSlot(address) {
        let entry = tables.entries[slot]
        if entry.isPresent && entry.frame.index == pfn { body(space, slot, entry) }
      }
      if notifies { space.invalidateEnd(event) }
      if pages[pfn].mappings == 0 { return }
    }
  }

  /// Writes a page to its slot (`swap_writepage`); false when the device refuses, and the page
  /// stays dirty.
  private func writeToSwap(_ pfn: Int) async -> Bool {
    pages[pfn].flags.remove(.dirty)
    if await copyToSwap(pfn, Int(swapArea.ofPage[pfn])) { return true }
    pages[pfn].flags.insert(.dirty)
    return false
  }

  /// Writes a page to a slot; false when the device refuses.
  func copyToSwap(_ pfn: Int, _ slot: Int) async -> Bool {
    await kernel.sleep(configuration.swapLatency)
    guard !failures.fires(.swapWrite) else { return false }
    swapArea.memory.copy(
      from: ram, at: pfn << PageSize.shift, to: slot << PageSize.shift, length: PageSize.bytes)
    tally.swapWrites += 1
    kernel.trace.record(.swapWrite, UInt64(pfn), UInt64(slot))
    return true
  }
}

extension AddressSpace {
  /// One entry of a page that reclaim takes away is gone.
  func unmapForReclaim(_ pfn: Int) {
    flushTranslations(pages: 1)
    tally.count(manager.pages[pfn], -1)
    manager.removeMapping(pfn)
  }
}
