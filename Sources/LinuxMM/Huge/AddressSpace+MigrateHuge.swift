import Base
import KernelRuntime

// Huge pages at the setup of a migration. Linux 6.12 splits each one that it meets: the driver sees
// base pages. With `MigrateSelect/compound` (a later rule set) those that lie whole in the range
// are collected as one.
extension AddressSpace {
  /// Splits the huge pages of a range that can't be collected as one; what can't be split is passed
  /// over by the walk that follows, as the kernel does (`migrate_vma_collect_skip`).
  ///
  /// LOCKING: `mmapLock` held; sleeps in notifiers.
  func splitForMigration(_ request: MigrationRequest) async {
    let range = VirtualRange(request.start, request.end)
    var address = HugePage.base(range.start)
    while address < range.end && !spareTables.isEmpty {
      await splitForMigration(address, range, request)
      address += UInt64(HugePage.bytes)
    }
  }

  private func splitForMigration(
    _ base: VirtualAddress, _ range: VirtualRange, _ request: MigrationRequest
  ) async {
    guard let entry = hugeEntry(base), !entry.isMigration, takes(entry, request) else { return }
    let isWhole =
      request.select.contains(.compound) && range.contains(HugePage.range(base))
    if entry.isHugeZero {
      // R11: places to clear, as the pages of zeroes that the split leaves.
      if !isWhole { await splitHugeEntries(in: VirtualRange(start: base, pages: 1)) }
      return
    }
    let head = entry.frame.index
    if isWhole && manager.partMappings(head) == 0 { return }
    // A page that can't be locked or split stays mapped by its huge entry ("THP split failed").
    do throws(KernelError) {
      try await manager.splitFolio(entry.frame, faultPage: request.faultPage)
    } catch {
      manager.huge.tally.migrationSplitFailures += 1
    }
  }

  /// Whether a request takes what a huge entry maps (R23).
  private func takes(_ entry: PageTableEntry, _ request: MigrationRequest) -> Bool {
    if entry.isPresent && manager.isSystemPage(entry.frame) {
      return request.select.contains(.system)
    }
    let number = Int(manager.pages[entry.frame.index].extra)
    guard let owner = request.owner, let map = manager.devices.byNumber[number] else {
      return false
    }
    return request.select.contains(entry.isPresent ? .deviceCoherent : .devicePrivate)
      && map.owner === owner
  }

  /// What the walk finds where no leaf table is.
  enum UpperPlace {
    /// Nothing is mapped: empty places.
    case holes
    /// A huge page that stays where it is.
    case passedOver
    /// 2 MiB that move as one, named by the first word; the others are empty.
    case whole(MigratePFN)
  }

  /// Collects the 2 MiB around `range`, which lies in one table's span that has no leaf table.
  ///
  /// LOCKING: under the page-table lock; nothing here sleeps.
  func collectUpper(
    _ vma: VMA, _ request: MigrationRequest, _ range: VirtualRange
  ) -> UpperPlace {
    let isWhole = request.select.contains(.compound) && range.pages == HugePage.pages
    guard let entry = hugeEntry(range.start), let slot = upperSlot(range.start) else {
      // The upstream rule: any aligned 2 MiB of an anonymous mapping, whatever faults may do.
      return isWhole && vma.isAnonymous ? .whole(.hugeHole) : .holes
    }
    guard !entry.isMigration, isWhole, takes(entry, request) else { return .passedOver }
    if entry.isHugeZero { return .whole(.hugeHole) }
    return takeFolio(slot, entry, request)
  }

  /// Locks and unmaps one huge page (`migrate_vma_collect_huge_pmd`); the entry's reference becomes
  /// the migration's.
  private func takeFolio(
    _ slot: Int, _ entry: PageTableEntry, _ request: MigrationRequest
  ) -> UpperPlace {
    let pages = manager.pages
    let failures = manager.failures
    let head = entry.frame.index
    let isFaultPage = request.faultPage.map { manager.folio($0.index) == head } ?? false
    let expected = manager.entireMappings(head) + (isFaultPage ? 1 : 0)
    guard isFaultPage || !pages[head].flags.contains(.locked),
      pages[head].references == expected, manager.partMappings(head) == 0,
      !failures.fires(.pageLock), !failures.fires(.migrateCollect)
    else { return .passedOver }
    let isWritable = entry.isWritable || entry.kind == .deviceWrite
    manager.unmapWhole(self, slot)
    pages[head].flags.insert(.locked)
    pages[head].references += 1
    var word = MigratePFN(entry.frame).rawValue | MigratePFN.migrate | MigratePFN.compound
    if isWritable { word |= MigratePFN.write }
    if manager.entireMappings(head) > 0 {
      word |= MigratePFN.pending
    } else if pages[head].flags.contains(.lru) {
      manager.lru.unlink(head)
    }
    return .whole(MigratePFN(rawValue: word))
  }
}

extension MemoryManager {
  /// Replaces a huge entry by a migration entry (`set_pmd_migration_entry`); the entry's reference
  /// is dropped, so the caller holds one.
  func unmapWhole(_ space: AddressSpace, _ slot: Int) {
    typealias Bit = PageTableEntry.Bit
    let entry = tables.entries[slot]
    let head = entry.frame.index
    let isWritable = entry.isWritable || entry.kind == .deviceWrite
    let kind: PageTableEntry.Kind =
      isWritable
      ? .migrationWrite
      : pages[head].flags.contains(.exclusive) ? .migrationReadExclusive : .migrationRead
    pages[head].flags.remove(.exclusive)
    if entry.isPresent {
      space.flushTranslations(pages: HugePage.pages)
      if entry.isDirty { pages[head].flags.insert(.dirty) }  // R27
    } else {
      space.tally.devicePages -= HugePage.pages
    }
    tables.entries[slot] = .absent(
      kind, entry.frame, entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
    countEntireMappings(head, -1)
    pages[head].references -= 1
  }

  /// The second half of collection for one huge page: it is unmapped elsewhere too, and isolated.
  /// What can't be had is put back.
  func unmapPendingFolio(_ buffers: MigrationBuffers, _ place: Int, _ head: Int) async {
    let arrays = buffers.arrays
    arrays[source: place] = MigratePFN(
      rawValue: arrays[source: place].rawValue & ~MigratePFN.pending)
    let isFaultPage = buffers.faultPage?.index == head
    for (space, range) in mappedWhole(head) {
      let event = NotifierEvent(.clear, range)
      let notifies = !space.notifiers.isEmpty || kernel.trace.isOn
      if notifies { await space.invalidateStart(event) }
      // The mirrors may have slept: look again.
      if let entry = space.hugeEntry(range.start), !entry.isMigration,
        entry.frame.index == head, let slot = space.upperSlot(range.start),
        !isPinned(head)
      {
        unmapWhole(space, slot)
      }
      if notifies { space.invalidateEnd(event) }
    }
    if pages[head].flags.contains(.lru) { lru.unlink(head) }
    guard pages[head].references != (isFaultPage ? 2 : 1) || entireMappings(head) > 0 else {
      return
    }
    arrays[source: place] = .empty
    buffers.collected -= 1
    buffers.compounds.removeAll { $0 == place }
    if head < frames.limit { lru.addNow(head) }
    restoreFolio(from: head, to: head)
    if !isFaultPage { unlock(index: head) }
    drop(head)
  }

  /// Puts `winner` wherever migration entries name the huge page `head` or parts of it: the huge
  /// entry may have been split meanwhile, and parts of it unmapped.
  func restoreFolio(from head: Int, to winner: Int) {
    guard let region = anonymousRegions[pages[head].anonymous.region] else { return }
    let index = pages[head].anonymous.index
    for vma in region.mappings {
      let space = vma.space
      if let address = vma.address(ofIndex: index), let entry = space.hugeEntry(address) {
        if entry.isMigration, entry.frame.index == head, let slot = space.upperSlot(address) {
          restoreWhole(vma, slot, entry, to: winner)
        }
        continue
      }
      for part in 0..<HugePage.pages {
        guard let address = vma.address(ofIndex: index + UInt64(part)),
          let slot = space.leafSlot(address)
        else { continue }
        restoreMapping(vma, slot, from: head + part, to: winner + part)
      }
    }
  }

  private func restoreWhole(_ vma: VMA, _ slot: Int, _ entry: PageTableEntry, to winner: Int) {
    typealias Bit = PageTableEntry.Bit
    let isPrivate = pages[winner].flags.contains(.devicePrivate)
    if entry.kind != .migrationRead { pages[winner].flags.insert(.exclusive) }
    if isPrivate { vma.space.tally.devicePages += HugePage.pages }
    let arrived = entry.arrived(
      at: winner, isPrivate: isPrivate, isDirty: pages[winner].flags.contains(.dirty),
      vma.protection)
    tables.entries[slot] = isPrivate ? arrived : arrived.with(Bit.huge)
    pages[winner].references += 1
    countEntireMappings(winner, 1)
  }
}
