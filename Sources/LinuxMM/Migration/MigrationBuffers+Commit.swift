import Base
import KernelRuntime

extension MigrationBuffers {
  /// Begins a migration of a process's range.
  func begin(_ space: AddressSpace, _ request: MigrationRequest) {
    begin(
      space.manager, pages: VirtualRange(request.start, request.end).pages,
      at: request.start.rawValue)
    self.space = space
    start = request.start
    owner = request.owner
    faultPage = request.faultPage
  }

  /// Begins a migration of a physical range.
  func begin(_ manager: MemoryManager, _ range: PFNRange) {
    begin(manager, pages: range.count, at: range.start.rawValue)
  }

  /// Begins a migration; `setup` itself resets the counts (R7, N03).
  private func begin(_ manager: MemoryManager, pages: Int, at place: UInt64) {
    invariant(phase == .idle, "these arrays are in use by a migration that is not finalized")
    phase = .collected
    self.manager = manager
    task = manager.kernel.current
    manager.activeMigrations.append(self)
    reasons?.begin(pages)
    space = nil
    owner = nil
    faultPage = nil
    start = VirtualAddress(0)
    tracedStart = place
    count = pages
    collected = 0
    if !compounds.isEmpty { compounds = [] }
  }

  private var machine: MemoryManager {
    guard let manager else { invariantFailed("a migration without a machine") }
    return manager
  }

  /// Moves each page that has a destination (`migrate_vma_pages`).
  func commit() async {
    let manager = machine
    let kernel = manager.kernel
    await kernel.point()
    let arrays = arrays
    var firstHole = compounds.isEmpty ? -1 : commitFolios(manager, arrays)
    if compounds.isEmpty {
      firstHole = max(firstHole, moveMetadata(manager, arrays, 0..<count))
    } else {
      forEachBaseRange { places in
        let first = moveMetadata(manager, arrays, places)
        if first >= 0 { firstHole = firstHole < 0 ? first : min(first, firstHole) }
      }
    }
    if firstHole >= 0, let space { await fillHoles(space, arrays, from: firstHole) }
    phase = .committed
    if kernel.trace.isOn {
      var moved: UInt64 = 0
      for place in 0..<count where arrays[source: place].migrates { moved += 1 }
      kernel.trace.record(.migrateCommit, tracedStart, UInt64(count), moved)
    }
  }

  /// The pages of some places; returns the first empty place to fill, or -1.
  private func moveMetadata(
    _ manager: MemoryManager, _ arrays: MigrationArrays, _ places: Range<Int>
  ) -> Int {
    let pages = manager.pages
    let failures = manager.kernel.failures
    let groups = manager.groups
    let isQuiet = failures.isQuiet
    // Nothing but the page's own record decides.
    let isPlain = isQuiet && groups == nil
    let reasons = reasons
    let faultPage = faultPage?.index ?? -1
    var firstHole = -1
    var moved = 0
    for place in places {
      let source = arrays[source: place]
      guard let new = arrays[destination: place].pfn?.index else {
        // R15: no destination, no migration.
        arrays[source: place] = source.refused
        reasons?.note(place, MigrationReason(.declined))
        continue
      }
      let arriving = pages[new]
      guard Self.check(arriving, new), source.migrates else {
        // One page can't move to a huge one; nor could it stay in the migration then.
        arrays[source: place] = source.refused
        continue
      }
      guard let old = source.pfn?.index else {
        if firstHole < 0 { firstHole = place }
        continue
      }
      let leaving = pages[old]
      if isPlain && leaving.references == 1 && old != faultPage && leaving.anonymous.isAnonymous
        && !leaving.flags.contains(.swapCache)
      {
        pages[new].anonymous = leaving.anonymous
        pages[new].flags = arriving.flags.union(leaving.flags.intersection(.migrating))
        moved += 1
        continue
      }
      guard pages[old].anonymous.isAnonymous else {
        if moveFilePage(manager, old, new) {
          moved += 1
        } else {
          arrays[source: place] = source.refused
          reasons?.note(place, MigrationReason(.notAnonymous))
        }
        continue
      }
      let isCached = pages[old].flags.contains(.swapCache)
      let expected: Int32 = (old == faultPage ? 2 : 1) + (isCached ? 1 : 0)
      if pages[old].references != expected || (!isQuiet && failures.fires(.migrateCommit)) {
        arrays[source: place] = source.refused
        reasons?.note(place, manager.reason(ofRefused: old, expected: expected))
        continue
      }
      if isCached && !manager.moveSwapCache(from: old, to: new) {
        arrays[source: place] = source.refused
        reasons?.note(place, MigrationReason(.inSwapCache))
        continue
      }
      if let groups { groups.move(from: old, to: new) }
      pages[new].anonymous = pages[old].anonymous
      pages[new].flags.formUnion(pages[old].flags.intersection(.migrating))
      moved += 1
    }
    if isQuiet { failures.pass(.migrateCommit, times: moved) }
    manager.tally.migrationsCommitted &+= UInt64(truncatingIfNeeded: moved)
    return firstHole
  }

  /// Moves a page of a file to another place in RAM; false when it must stay.
  private func moveFilePage(_ manager: MemoryManager, _ old: Int, _ new: Int) -> Bool {
    let pages = manager.pages
    // R22: device memory is for anonymous pages.
    guard new < manager.frames.limit, let file = manager.files[pages[old].anonymous.region],
      pages[old].references == 2, !manager.kernel.failures.fires(.migrateCommit)
    else { return false }
    pages[new].flags.formUnion(pages[old].flags.intersection(.migrating))
    file.replacePage(old, by: new)
    manager.groups?.move(from: old, to: new)
    return true
  }

  /// A destination is the driver's own page: locked, with one reference, mapped nowhere (R13).
  /// False for a huge one.
  @inline(__always)
  private static func check(_ record: PageRecord, _ pfn: Int) -> Bool {
    invariant(
      record.flags.contains(.locked) && record.references > 0 && record.mappings == 0
        && record.anonymous == .none,
      "destination \(pfn) is not a new, locked page (R13)")
    return !record.flags.contains(.head)
  }

  /// Empty places and zero pages get their new page (`migrate_vma_insert_page`), inside a notifier
  /// range of its own.
  private func fillHoles(
    _ space: AddressSpace, _ arrays: MigrationArrays, from first: Int
  ) async {
    let range = VirtualRange(
      start + UInt64(first) << 12, start + UInt64(count) << 12)
    if let group = space.group {
      // Nothing can sleep once the holes are being filled.
      await space.manager.makeRoom(in: group, pages: range.pages)
    }
    let event = NotifierEvent(.migrate, range, owner: owner)
    let notifies = !space.notifiers.isEmpty || space.kernel.trace.isOn
    if notifies { await space.invalidateStart(event) }
    guard let vma = space.find(start) else {
      invariantFailed("the mapping at \(start) went during a migration (R4)")
    }
    var filler = HoleFiller(space, vma)
    for place in first..<count {
      let source = arrays[source: place]
      guard source.migrates, !source.isValid,
        let new = arrays[destination: place].pfn?.index
      else { continue }
      let address = start + UInt64(place) << 12
      let isFilled =
        source.isCompound
        ? filler.fillHuge(address, with: new) : filler.fill(address, with: new)
      if !isFilled {
        arrays[source: place] = source.refused
        reasons?.note(place, filler.refusal)
      }
    }
    filler.finish()
    if notifies { space.invalidateEnd(event) }
  }

  /// Takes every page out of the migration, for an abandoned one.
  func refuseAll(_ reason: MigrationReason) {
    let arrays = arrays
    for place in 0..<count {
      arrays[source: place] = arrays[source: place].refused
      reasons?.note(place, reason)
    }
  }
}

extension MemoryManager {
  /// Why the commit refused a page: another user, or an injected failure.
  func reason(ofRefused pfn: Int, expected: Int32) -> MigrationReason {
    guard pages[pfn].references != expected else {
      return MigrationReason(.injected, who: InjectionPoint.migrateCommit.name)
    }
    let reason = reason(ofUse: pfn, expected: Int(expected))
    return MigrationReason(.refusedAtCommit, use: reason.use)
  }
}

extension MigratePFN {
  /// The word of a page that stays in its place.
  @inline(__always)
  var refused: MigratePFN { MigratePFN(rawValue: rawValue & ~Self.migrate) }
}

/// Puts new pages into empty places of one mapping.
private struct HoleFiller {
  private let space: AddressSpace
  private let vma: VMA
  private let manager: MemoryManager
  private let pages: FlatView<PageRecord>
  private let entries: FlatView<PageTableEntry>
  private let failures: FailurePlan
  private let isQuiet: Bool
  private let group: MemoryGroup?
  private let cpu: Int
  /// The leaf table in work and the first address past it.
  private var table = 0
  private var tableEnd = VirtualAddress(0)
  private var resident = 0
  private var onDevice = 0
  private var flushed = 0
  /// Why the last place could not be filled.
  private(set) var refusal = MigrationReason(.lostRace)

  init(_ space: AddressSpace, _ vma: VMA) {
    self.space = space
    self.vma = vma
    manager = space.manager
    pages = manager.pages
    entries = manager.tables.entries
    failures = manager.kernel.failures
    isQuiet = failures.isQuiet
    group = space.group
    cpu = manager.currentCPU
  }

  /// False when the place isn't empty any more (R29), or its table can't be had.
  mutating func fill(_ address: VirtualAddress, with new: Int) -> Bool {
    typealias Bit = PageTableEntry.Bit
    guard vma.isAnonymous else { return refuse(MigrationReason(.notAnonymous)) }
    guard isQuiet || !failures.fires(.migrateCommit) else {
      return refuse(MigrationReason(.injected, who: InjectionPoint.migrateCommit.name))
    }
    if address >= tableEnd {
      guard let made = try? space.makeLeafTable(address) else {
        return refuse(MigrationReason(.noPageTable))
      }
      table = made
      tableEnd = AddressSpace.tableEnd(address, PageTableLevel.leafShift)
    }
    let slot = table << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
    let old = entries[slot]
    guard !space.isUnstable,
      old.isNone || (old.isZeroPage && !old.has(PageTableEntry.Bit.userfaultWP)),
      !vma.flags.contains(.userfaultMissing)
    else {
      let isFilled = !old.isNone && !old.isZeroPage
      return refuse(
        MigrationReason(isFilled ? .lostRace : space.isUnstable ? .reaped : .watched))
    }
    if let group {
      guard group.tryCharge(1) else { return refuse(MigrationReason(.overLimit)) }
      manager.groups?.own(new, group)
    }
    let region = space.prepareRegion(vma)
    manager.addNewAnonymous(
      new, AnonymousPlace(region: region.number, index: vma.index(of: address)))
    pages[new].references += 1
    resident += 1
    if old.isPresent { flushed += 1 }
    let pfn = PFN(UInt64(new))
    let isWritable = vma.protection.contains(.write)
    if pages[new].flags.contains(.devicePrivate) {
      onDevice += 1
      entries[slot] = .absent(isWritable ? .deviceWrite : .deviceRead, pfn)
    } else {
      if new < manager.frames.limit {
        manager.lru.add(new, cpu: cpu)
        pages[new].flags.formUnion(vma.arrivalFlags)
      }
      var bits = Bit.young
      if isWritable { bits |= Bit.write | Bit.dirty | Bit.softDirty }
      if vma.protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
      entries[slot] = .present(pfn, bits)
    }
    return true
  }

  private mutating func refuse(_ reason: MigrationReason) -> Bool {
    refusal = reason
    return false
  }

  /// As ``fill(_:with:)``, for 2 MiB and a huge page (`migrate_vma_insert_huge_pmd_page`).
  mutating func fillHuge(_ address: VirtualAddress, with head: Int) -> Bool {
    typealias Bit = PageTableEntry.Bit
    guard vma.isAnonymous else { return refuse(MigrationReason(.notAnonymous)) }
    guard !failures.fires(.migrateCommit) else { return refuse(MigrationReason(.injected)) }
    guard let slot = try? space.makeUpperSlot(address), let table = try? space.takeSpareTable()
    else { return refuse(MigrationReason(.noPageTable)) }
    let old = entries[slot]
    guard !space.isUnstable, old.isNone || old.isHugeZero,
      !vma.flags.contains(.userfaultMissing), manager.chargeFolio(head, space)
    else {
      manager.tables.give(table)
      let isFilled = !old.isNone && !old.isHugeZero
      return refuse(MigrationReason(isFilled ? .lostRace : .overLimit))
    }
    if old.isHugeZero {
      flushed += HugePage.pages
      space.removeHuge(slot)
      manager.drop(old.frame.index)
    }
    let region = space.prepareRegion(vma)
    manager.addNewAnonymousFolio(
      head, AnonymousPlace(region: region.number, index: vma.index(of: address)))
    pages[head].references += 1
    resident += HugePage.pages
    manager.huge.tally.migrationsCommitted += 1
    let isWritable = vma.protection.contains(.write)
    var entry = PageTableEntry.absent(
      isWritable ? .deviceWrite : .deviceRead, PFN(UInt64(head)))
    if pages[head].flags.contains(.devicePrivate) {
      onDevice += HugePage.pages
    } else {
      if head < manager.frames.limit { manager.lru.addNow(head) }
      var bits = Bit.young
      if isWritable { bits |= Bit.write | Bit.dirty | Bit.softDirty }
      if vma.protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
      entry = .hugePresent(head, bits)
    }
    space.install(entry, slot, spare: table)
    return true
  }

  /// Brings the counts up to date.
  func finish() {
    if isQuiet { failures.pass(.migrateCommit, times: resident) }
    space.tally.residentPages += resident
    space.tally.devicePages += onDevice
    manager.tally.migrationsCommitted &+= UInt64(truncatingIfNeeded: resident)
    if flushed > 0 { space.flushTranslations(pages: flushed) }
  }
}
