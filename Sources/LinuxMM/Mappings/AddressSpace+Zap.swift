public import Base
import KernelRuntime

extension AddressSpace {
  /// Empties the entries of `range` and drops what they hold (`zap_page_range`).
  ///
  /// LOCKING: `mmapLock` held; the mirrors have been told.
  func zap(_ range: VirtualRange) {
    if !spareTables.isEmpty { zapHuge(range) }
    forEachLeafTable(in: range) { table, part in
      let block = manager.tables.block(table)
      var flushed = 0
      var slot = PageTableLevel.leafIndex(part.start)
      for _ in 0..<part.pages {
        let entry = block[slot]
        if !entry.isNone {
          block[slot] = .none
          if entry.isPresent { flushed += 1 }
          zap(entry)
        }
        slot += 1
      }
      if flushed > 0 { flushTranslations(pages: flushed) }
    }
  }

  /// Empties the entries of `range` that show pages of the mapping's file; private copies stay
  /// (`unmap_mapping_range` without `even_cows`).
  ///
  /// LOCKING: as for ``zap(_:)``.
  func zapFilePages(_ range: VirtualRange) {
    forEachLeafTable(in: range) { table, part in
      let block = manager.tables.block(table)
      var flushed = 0
      let first = PageTableLevel.leafIndex(part.start)
      for slot in first..<first + part.pages {
        let entry = block[slot]
        guard entry.isPresent || entry.isMigration,
          manager.pages[entry.frame.index].anonymous.isFile
        else { continue }
        block[slot] = entry.isUserfaultWriteProtected ? .protectMarker : .none
        if entry.isPresent { flushed += 1 }
        zap(entry)
      }
      if flushed > 0 { flushTranslations(pages: flushed) }
    }
  }

  /// Drops what one entry held, which is gone from its table.
  private func zap(_ entry: PageTableEntry) {
    guard let kind = entry.kind else {
      // The zero page, or a frame that a driver mapped, is counted nowhere.
      if entry.has(PageTableEntry.Bit.special) {
        if let head = entry.hugetlbHead { manager.removeHugetlbMapping(head) }
        return
      }
      let pfn = entry.frame.index
      tally.count(manager.pages[pfn], -1)
      if entry.isDirty { manager.pages[pfn].flags.insert(.dirty) }
      manager.removeMapping(pfn)
      return
    }
    switch kind {
    case .deviceRead, .deviceWrite:
      // R46: an ordinary page in all accounts.
      tally.residentPages -= 1
      tally.devicePages -= 1
      manager.removeMapping(entry.frame.index)
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      // The migration holds the page's reference; finalize finds the entry gone.
      tally.count(manager.pages[entry.frame.index], -1)
    case .exclusiveRead, .exclusiveWrite:
      tally.residentPages -= 1
      manager.removeMapping(entry.frame.index)
    case .swap:
      tally.swapEntries -= 1
      manager.dropSwap(Int(entry.frame.rawValue))
    case .poison, .marker:
      break
    }
  }

  /// Changes what `range` allows (`mprotect`).
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned, or within a hugetlb page;
  /// `ENOMEM` when part of it isn't mapped, `EACCES` for writing to a shared file that was opened
  /// for reading; nothing is changed then.
  public func protect(
    _ range: VirtualRange, _ protection: Protection
  ) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lock()
    guard !splitsHugetlb(range) else {
      mmapLock.unlock()
      throw .EINVAL
    }
    guard covers(range) else {
      mmapLock.unlock()
      throw .ENOMEM
    }
    if protection.contains(.write) {
      let first = firstMapping(above: range.start)
      let isRefused = mappings[first...].contains { $0.start < range.end && $0.refusesWrite }
      guard !isRefused else {
        mmapLock.unlock()
        throw .EACCES
      }
    }
    await splitHugeEnds(range)
    let places = isolate(range)
    let event = NotifierEvent(.protectionVMA, range)
    await invalidateStart(event)
    for vma in mappings[places] where vma.protection != protection {
      vma.protection = protection
      if !spareTables.isEmpty { protectHuge(vma, protection) }
      forEachLeafTable(in: vma.range) { table, part in
        changeEntries(vma, table, part, protection)
      }
    }
    invalidateEnd(event)
    merge(around: range)
    mmapLock.unlock()
  }

  /// Brings the entries of one table in line with a new protection (`change_pte_range`).
  private func changeEntries(
    _ vma: VMA, _ table: Int, _ part: VirtualRange, _ protection: Protection
  ) {
    let block = manager.tables.block(table)
    var flushed = 0
    var slot = PageTableLevel.leafIndex(part.start)
    for _ in 0..<part.pages {
      let entry = block[slot]
      let changed = changedEntry(vma, entry, protection)
      if changed != entry {
        block[slot] = changed
        if entry.isPresent { flushed += 1 }
      }
      slot += 1
    }
    if flushed > 0 { flushTranslations(pages: flushed) }
  }

  func changedEntry(
    _ vma: VMA, _ entry: PageTableEntry, _ protection: Protection
  ) -> PageTableEntry {
    typealias Bit = PageTableEntry.Bit
    guard let kind = entry.kind else {
      if entry.isNone { return entry }
      var changed = entry.without(Bit.write | Bit.noAccess)
      if protection.isDisjoint(with: [.read, .write]) { changed = changed.with(Bit.noAccess) }
      if protection.contains(.write), !entry.has(Bit.userfaultWP), mayWriteAtOnce(vma, entry) {
        changed = changed.with(Bit.write)
      }
      return changed
    }
    let bits = entry.rawValue & (Bit.software | Bit.young | Bit.dirty)
    switch kind {
    case .deviceWrite:
      return .absent(.deviceRead, entry.frame, bits)  // R45
    case .migrationWrite:
      let isAnonymous = manager.pages[entry.frame.index].anonymous.isAnonymous
      return .absent(
        isAnonymous ? .migrationReadExclusive : .migrationRead, entry.frame, bits)
    case .exclusiveWrite:
      return .absent(.exclusiveRead, entry.frame, bits)
    default:
      return entry
    }
  }
}

extension AddressSpace {
  /// Whether a present entry may be made writable without a fault to find that out
  /// (`can_change_pte_writable`).
  private func mayWriteAtOnce(_ vma: VMA, _ entry: PageTableEntry) -> Bool {
    if vma.flags.contains(.shared) {
      return entry.isDirty || vma.file?.tracksWrites != true
    }
    if entry.has(PageTableEntry.Bit.special) { return false }
    return manager.pages[entry.frame.index].flags.contains(.exclusive)
  }
}

extension MemoryManager {
  /// One entry no longer maps the page: its count falls and its reference goes.
  @inline(__always)
  func removeMapping(_ pfn: Int) {
    invariant(pages[pfn].mappings > 0, "page \(pfn) unmapped more often than mapped")
    pages[pfn].mappings -= 1
    if !pages[pfn].flags.isDisjoint(with: .watchesUnmap) {
      if !pages[pfn].flags.isDisjoint(with: .large) { return removedFromFolio(pfn) }
      settleUnmapped(pfn)
    }
    drop(pfn)
  }

  /// A page that is locked in memory or in the swap cache has one mapping less.
  private func settleUnmapped(_ pfn: Int) {
    if pages[pfn].flags.contains(.mlocked) { settleLocked(pfn) }
    if pages[pfn].mappings == 0 { dropOrphan(pfn) }
  }
}
