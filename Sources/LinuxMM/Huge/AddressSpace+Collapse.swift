public import Base
import KernelRuntime

/// Why 2 MiB could not become a huge page (`enum scan_result`).
public enum CollapseRefusal: String, Hashable, Sendable, CaseIterable {
  /// The mapping can't hold a huge page there (`SCAN_VMA_CHECK`).
  case mapping
  /// Nothing was ever touched there (`SCAN_PMD_NULL`).
  case untouched
  /// A page is not in RAM: in device memory, under migration, swapped out or poisoned
  /// (`SCAN_PTE_NON_PRESENT`).
  case notPresent
  /// A userfaultfd watches a page (`SCAN_PTE_UFFD_WP`).
  case userfault
  /// A page is pinned, or in other use (`SCAN_PAGE_COUNT`).
  case pageCount
  /// A page is locked (`SCAN_PAGE_LOCK`).
  case pageLock
  /// No huge page can be had (`SCAN_ALLOC_HUGE_PAGE_FAIL`).
  case noMemory
  /// The process's group is at its limit (`SCAN_CGROUP_CHARGE_FAIL`).
  case overLimit

  /// What `madvise` answers.
  public var error: KernelError {
    switch self {
    case .pageCount, .pageLock: .EAGAIN
    case .noMemory: .ENOMEM
    case .overLimit: .EBUSY
    case .mapping, .untouched, .notPresent, .userfault: .EINVAL
    }
  }
}

extension AddressSpace {
  /// Makes huge pages of what is mapped in `range` (`madvise(MADV_COLLAPSE)`), whatever the policy
  /// for faults is; the aligned 2 MiB within the range count.
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned, `ENOMEM` when part of it isn't
  /// mapped; else the error of the last 2 MiB that could not be had (``CollapseRefusal/error``).
  public func collapse(_ range: VirtualRange) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lockShared()
    let isMapped = covers(range)
    mmapLock.unlockShared()
    guard isMapped else { throw .ENOMEM }
    var last: CollapseRefusal?
    var base = HugePage.base(range.start + UInt64(HugePage.bytes - 1))
    while base + UInt64(HugePage.bytes) <= range.end {
      last = await collapseBlock(base) ?? last
      base += UInt64(HugePage.bytes)
    }
    if let last { throw last.error }
  }

  /// Makes one huge page of the 2 MiB around `address`; nil when it is one then
  /// (`collapse_huge_page`).
  public func collapseBlock(_ address: VirtualAddress) async -> CollapseRefusal? {
    let base = HugePage.base(address)
    let range = HugePage.range(base)
    // As the kernel: the memory first, then the lock.
    guard let head = try? manager.allocateHugePage() else { return .noMemory }
    await mmapLock.lock()
    await manager.drainLRUOfAllCPUs()
    var refusal = checkCollapse(base)
    if refusal == nil && hugeEntry(base) == nil {
      let event = NotifierEvent(.clear, range)
      await invalidateStart(event)
      // The mirrors may have slept, and others may have locked or pinned pages.
      refusal = checkCollapse(base)
      if refusal == nil && !manager.chargeFolio(head.index, self) { refusal = .overLimit }
      if refusal == nil, let vma = find(base) { replaceByHuge(vma, base, head.index) }
      invalidateEnd(event)
    }
    manager.put(head)
    mmapLock.unlock()
    return refusal
  }

  private func checkCollapse(_ base: VirtualAddress) -> CollapseRefusal? {
    guard let vma = find(base), vma.range.contains(HugePage.range(base)), vma.isAnonymous,
      !vma.isSpecial, !vma.flags.contains(.noHugePage), !isUnstable
    else { return .mapping }
    guard !vma.flags.contains(.userfaultMissing) else { return .userfault }
    if hugeEntry(base) != nil { return nil }
    let table = leafTable(base)
    guard table != 0 else { return .untouched }
    let block = manager.tables.block(table)
    for index in 0..<HugePage.pages {
      if let refusal = checkCollapse(block[index]) { return refusal }
    }
    return nil
  }

  private func checkCollapse(_ entry: PageTableEntry) -> CollapseRefusal? {
    if entry.isUserfaultWriteProtected { return .userfault }
    if entry.isNone || entry.isZeroPage { return nil }
    // Coherent memory is the device's, though the CPU maps it.
    guard entry.isPresent, manager.isSystemPage(entry.frame) else { return .notPresent }
    let head = manager.folio(entry.frame.index)
    let record = manager.pages[head]
    if record.flags.contains(.locked) { return .pageLock }
    let isLarge = record.flags.contains(.head)
    let mapped =
      isLarge ? manager.entireMappings(head) + manager.partMappings(head) : record.mappings
    return record.references == mapped ? nil : .pageCount
  }

  /// Copies the pages of a leaf table into a huge page and maps that in their place; the table
  /// becomes the spare one.
  private func replaceByHuge(_ vma: VMA, _ base: VirtualAddress, _ head: Int) {
    typealias Bit = PageTableEntry.Bit
    guard let slot = upperSlot(base) else { return }
    let table = leafTable(base)
    let block = manager.tables.block(table)
    for index in 0..<HugePage.pages {
      let entry = block[index]
      block[index] = .none
      let target = (head + index) << PageSize.shift
      guard entry.isPresent, !entry.isZeroPage else {
        manager.ram.fill(0, at: target, length: PageSize.bytes)
        continue
      }
      let pfn = entry.frame.index
      manager.ram.copy(
        from: manager.ram, at: pfn << PageSize.shift, to: target, length: PageSize.bytes)
      tally.residentPages -= 1
      manager.removeMapping(pfn)
    }
    flushTranslations(pages: HugePage.pages)
    let region = prepareRegion(vma)
    manager.addNewAnonymousFolio(
      head, AnonymousPlace(region: region.number, index: vma.index(of: base)))
    // The entry's reference; the caller drops its own.
    manager.pages[head].references += 1
    manager.lru.addNow(head)
    manager.pages[head].flags.formUnion(vma.arrivalFlags)
    var bits = Bit.young | Bit.dirty | Bit.softDirty
    if vma.protection.contains(.write) { bits |= Bit.write }
    if vma.protection.isDisjoint(with: .readWrite) { bits |= Bit.noAccess }
    manager.tables.entries[slot] = .hugePresent(head, bits)
    spareTables.append(table)
    tally.residentPages += HugePage.pages
    manager.huge.tally.collapses += 1
  }
}
