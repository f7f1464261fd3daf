public import Base
import KernelRuntime

extension AddressSpace {
  /// Empties the huge entries that lie in `range`, and splits those that reach over its ends, whose
  /// parts are left to the caller (`zap_huge_pmd`).
  ///
  /// LOCKING: as for ``zap(_:)``.
  func zapHuge(_ range: VirtualRange) {
    forEachHugeSlot(in: range) { slot, base in
      guard range.contains(HugePage.range(base)) else { return splitHugeEntry(base) }
      let entry = manager.tables.entries[slot]
      removeHuge(slot)
      if entry.isPresent { flushTranslations(pages: HugePage.pages) }
      if entry.isHugeZero { return manager.drop(entry.frame.index) }
      tally.residentPages -= HugePage.pages
      if entry.isMigration { return }
      if entry.isDevicePrivate { tally.devicePages -= HugePage.pages }
      let head = entry.frame.index
      if entry.isPresent && entry.isDirty { manager.pages[head].flags.insert(.dirty) }
      manager.removeEntireMapping(head)
    }
  }

  /// Brings the huge entries of a mapping in line with a new protection
  /// (`change_huge_pmd`).
  func protectHuge(_ vma: VMA, _ protection: Protection) {
    forEachHugeSlot(in: vma.range) { slot, base in
      guard vma.range.contains(HugePage.range(base)) else { return splitHugeEntry(base) }
      let entry = manager.tables.entries[slot]
      let changed = changedEntry(vma, entry, protection)
      guard changed != entry else { return }
      manager.tables.entries[slot] = changed
      if entry.isPresent { flushTranslations(pages: HugePage.pages) }
    }
  }

  /// Says that huge pages are wanted in `range`, or that they aren't (`MADV_HUGEPAGE`,
  /// `MADV_NOHUGEPAGE`); huge pages that are there stay.
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned, `ENOMEM` when part of it isn't
  /// mapped.
  public func adviseHuge(_ range: VirtualRange, _ wanted: Bool) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lock()
    guard covers(range) else {
      mmapLock.unlock()
      throw .ENOMEM
    }
    await splitHugeEnds(range)
    for vma in mappings[isolate(range)] {
      vma.flags.remove(wanted ? .noHugePage : .hugePage)
      vma.flags.insert(wanted ? .hugePage : .noHugePage)
    }
    merge(around: range)
    mmapLock.unlock()
  }
}

extension MemoryManager {
  /// A huge entry no longer maps the huge page: its count falls and its reference goes.
  func removeEntireMapping(_ head: Int) {
    countEntireMappings(head, -1)
    if entireMappings(head) == 0 && pages[head].references > 1 {
      let parts = partMappings(head)
      if parts > 0 && (head..<head + HugePage.pages).contains(where: { pages[$0].mappings == 0 }) {
        notePartlyMapped(head)
      }
    }
    drop(head)
  }
}
