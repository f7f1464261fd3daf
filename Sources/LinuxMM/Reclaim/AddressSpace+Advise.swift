public import Base
import KernelRuntime

extension AddressSpace {
  /// Acts on advice about a range (`madvise`); its end is rounded up to a page.
  ///
  /// - `EINVAL`: the start isn't page aligned; or a mapping doesn't take the advice: a special one,
  ///   for `dontNeed` one of bare frames only; a locked one; for `free` one that isn't anonymous;
  ///   for `dontNeed` a start within a hugetlb page, while one that the end falls into stays as it
  ///   is. What lies before has been done
  /// - `ENOMEM`: part of the range isn't mapped; what is has been done (populating: up to there)
  /// - `EFAULT`, `EHWPOISON`: for populating, a page that can't be had
  public func advise(_ range: VirtualRange, _ advice: Advice) async throws(KernelError) {
    guard range.start.isPageAligned, let range = range.roundedToPages else { throw .EINVAL }
    if range.isEmpty { return }
    if advice == .populateRead || advice == .populateWrite {
      return try await populate(range, write: advice == .populateWrite)
    }
    if advice == .dontNeed { await announceRemoval(range) }
    await mmapLock.lockShared()
    defer { mmapLock.unlockShared() }
    let isWhole = covers(range)
    // Each mapping in turn; nothing below lets go of the lock.
    let parts = mappings.compactMap { vma in vma.range.intersection(range).map { (vma, $0) } }
    for (vma, part) in parts { try await advise(vma, part, advice) }
    guard isWhole else { throw .ENOMEM }
  }

  private func advise(
    _ vma: VMA, _ part: VirtualRange, _ advice: Advice
  ) async throws(KernelError) {
    let isLocked = vma.flags.contains(.locked)
    let refusesReclaim = !vma.flags.isDisjoint(with: [.special, .hugetlb, .locked])
    switch advice {
    case .dontNeed:
      let isHugetlb = vma.flags.contains(.hugetlb)
      guard !vma.flags.contains(.pfnMap), !isLocked,
        !isHugetlb || part.start == HugePage.base(part.start)
      else { throw .EINVAL }
      // Who isn't aware of huge pages must not lose more than was asked for.
      let part = isHugetlb ? VirtualRange(part.start, HugePage.base(part.end)) : part
      if part.isEmpty { return }
      await splitHugeEnds(part)
      let event = NotifierEvent(.clear, part)
      await invalidateStart(event)
      manager.drainLRU()
      if isHugetlb { dropHugetlb(vma, part) } else { zapKeepingProtection(vma, part) }
      invalidateEnd(event)
    case .free:
      guard vma.isAnonymous, !isLocked else { throw .EINVAL }
      let event = NotifierEvent(.clear, part)
      await invalidateStart(event)
      manager.lru.drainAll()
      forEachUsedEntry(part) { freeLazily(slot: $0) }
      invalidateEnd(event)
    case .cold:
      guard !refusesReclaim else { throw .EINVAL }
      manager.lru.drainAll()
      forEachUsedEntry(part) { cool(slot: $0) }
    case .pageOut:
      guard !refusesReclaim else { throw .EINVAL }
      await pageOut(part)
    case .willNeed:
      await readAhead(part)
    case .populateRead, .populateWrite:
      break
    }
  }

  /// Swaps out what it can of a range, used or not (`madvise(MADV_PAGEOUT)`); how many pages went.
  ///
  /// Errors as ``advise(_:_:)``.
  @discardableResult
  public func swapOut(_ range: VirtualRange) async throws(KernelError) -> Int {
    let before = manager.counters.pagesReclaimed
    try await advise(range, .pageOut)
    return Int(manager.counters.pagesReclaimed - before)
  }

  /// Visits the places of a range whose entries aren't empty.
  private func forEachUsedEntry(_ range: VirtualRange, _ body: (_ slot: Int) -> Void) {
    forEachLeafTable(in: range) { table, part in
      let first = table << PageTablePool.tableShift | PageTableLevel.leafIndex(part.start)
      for slot in first..<first + part.pages where !manager.tables.entries[slot].isNone {
        body(slot)
      }
    }
  }

  /// The page, anonymous or with `sharedToo` of shared memory, that this place alone maps for the
  /// CPU; nil for any other, and for parts of huge pages: advice is a hint, and they are left as
  /// they are.
  private func soleFrame(_ slot: Int, sharedToo: Bool = false) -> Int? {
    let entry = manager.tables.entries[slot]
    guard entry.isPresent, !entry.has(PageTableEntry.Bit.special) else { return nil }
    let record = manager.pages[entry.frame.index]
    let isWanted =
      record.anonymous.isAnonymous || (sharedToo && record.flags.contains(.sharedMemory))
    guard record.mappings == 1, isWanted,
      record.flags.isDisjoint(with: [.device, .head, .tail])
    else { return nil }
    return entry.frame.index
  }

  /// Marks one place for `MADV_FREE`: its page may go unless it is written again. Swap and poison
  /// entries go at once; a page on a device is left alone, as in Linux.
  private func freeLazily(slot: Int) {
    typealias Bit = PageTableEntry.Bit
    let entries = manager.tables.entries
    let entry = entries[slot]
    switch entry.kind {
    case .swap:
      entries[slot] = .none
      tally.swapEntries -= 1
      manager.dropSwap(Int(entry.frame.rawValue))
    case .poison:
      entries[slot] = .none
    case .marker where entry == .poisonMarker:
      entries[slot] = .none
    case nil:
      guard let pfn = soleFrame(slot), !manager.pages[pfn].flags.contains(.locked) else { return }
      if manager.pages[pfn].flags.contains(.swapCache) && !manager.freeSwap(pfn) { return }
      manager.pages[pfn].flags.remove(.dirty)
      entries[slot] = entry.without(Bit.young | Bit.dirty)
      if entry.isYoung || entry.isDirty { flushTranslations(pages: 1) }
      guard manager.pages[pfn].flags.isDisjoint(with: [.mlocked, .swapCache]) else { return }
      manager.pages[pfn].flags.insert(.lazyFree)
      manager.hasLazyPages = true
      if manager.pages[pfn].flags.contains(.lru) { manager.lru.cool(pfn) }
    default:
      return
    }
  }

  private func cool(slot: Int) {
    guard let pfn = soleFrame(slot) else { return }
    let entry = manager.tables.entries[slot]
    manager.tables.entries[slot] = entry.without(PageTableEntry.Bit.young)
    if manager.pages[pfn].flags.contains(.lru) { manager.lru.cool(pfn) }
  }

  private func pageOut(_ part: VirtualRange) async {
    manager.lru.drainAll()
    await splitForPageOut(part)
    for page in 0..<part.pages {
      // The table may go while a page is written.
      guard let slot = leafSlot(part.start + UInt64(page) << 12),
        let pfn = soleFrame(slot, sharedToo: true)
      else { continue }
      _ = await manager.reclaimPage(pfn, ignoresUse: true)
    }
  }

  /// Splits the huge pages of a range that nobody else maps (`madvise_cold_or_pageout_pte_range`).
  private func splitForPageOut(_ part: VirtualRange) async {
    for page in 0..<part.pages {
      let entry = entry(at: part.start + UInt64(page) << 12)
      if entry.isPresent, !entry.has(PageTableEntry.Bit.special), manager.isHuge(entry.frame),
        manager.isMappedByOne(entry.frame)
      {
        _ = await manager.splitForReclaim(manager.folio(entry.frame.index), ignoresUse: true)
      }
    }
  }

  /// Reads what is in swap space into the swap cache (`swapin_walk_pmd_entry`); what can't be read
  /// now is found by the access.
  private func readAhead(_ part: VirtualRange) async {
    let entries = manager.tables.entries
    for page in 0..<part.pages {
      guard let slot = leafSlot(part.start + UInt64(page) << 12), entries[slot].kind == .swap
      else { continue }
      let entry = entries[slot]
      let swapSlot = Int(entry.frame.rawValue)
      guard manager.swapArea.slots[swapSlot].page == 0,
        let pfn = try? await manager.allocatePage(for: self, swapSlot: swapSlot)
      else { continue }
      guard entries[slot] == entry, manager.swapArea.slots[swapSlot].page == 0 else {
        manager.put(pfn)
        continue
      }
      if await manager.readFromSwap(pfn.index, swapSlot) { manager.unlockCached(pfn.index) }
    }
  }

  /// Faults a range in (`madvise_populate`).
  private func populate(_ range: VirtualRange, write: Bool) async throws(KernelError) {
    for page in 0..<range.pages {
      let address = range.start + UInt64(page) << 12
      guard let vma = find(address) else { throw .ENOMEM }
      guard !vma.isSpecial, vma.protection.contains(write ? .write : .read) else { throw .EINVAL }
      do throws(AccessError) {
        _ = try await resolve(address, write: write)
      } catch {
        switch error {
        case .outOfMemory: throw .ENOMEM
        case .sigbus(_, .EHWPOISON): throw .EHWPOISON
        case .segv, .sigbus: throw .EFAULT
        }
      }
    }
  }
}
