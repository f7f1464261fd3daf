import Base

/// Maps the winner of one place after the other and lets both pages go (`migrate_vma_finalize`).
struct PageFinisher {
  private let manager: MemoryManager
  private let vma: VMA?
  private let pages: FlatView<PageRecord>
  private let entries: FlatView<PageTableEntry>
  private let limit: Int
  private let lru: LRUList
  private let cpu: Int
  private let faultPage: Int
  private let protection: Protection
  private let arrivalFlags: PageFlags
  private var releaser: DevicePageReleaser
  private var onDevice = 0

  /// - Parameter vma: the mapping that all places lie in; nil for a physical range.
  init(_ manager: MemoryManager, _ vma: VMA?, faultPage: PFN?) {
    self.manager = manager
    self.vma = vma
    pages = manager.pages
    entries = manager.tables.entries
    limit = manager.frames.limit
    lru = manager.lru
    cpu = manager.currentCPU
    self.faultPage = faultPage?.index ?? -1
    protection = vma?.protection ?? []
    arrivalFlags = vma?.arrivalFlags ?? []
    releaser = DevicePageReleaser(manager)
  }

  /// Finishes places whose entries follow each other from `firstSlot` on; -1 when they don't.
  mutating func finish(_ arrays: MigrationArrays, _ places: Range<Int>, firstSlot: Int) {
    // Locals: the loop is the hot path, and a call for each page costs a tenth of it.
    let (pages, entries, lru) = (pages, entries, lru)
    let (limit, cpu, faultPage) = (limit, cpu, faultPage)
    let (protection, arrivalFlags) = (protection, arrivalFlags.union(.batched))
    let moved = MigratePFN.migrate
    for place in places {
      let source = arrays[source: place]
      let new = arrays[destination: place].pfn?.index
      guard let old = source.pfn?.index else {
        if let new { manager.unlockAndDrop(new) }
        continue
      }
      let slot = firstSlot < 0 ? -1 : firstSlot + (place - places.lowerBound)
      guard let new, slot >= 0, old != faultPage,
        source.rawValue & (moved | MigratePFN.reverse) == moved
      else {
        finish(source, old, new, slot)
        continue
      }
      let entry = entries[slot]
      let leaving = pages[old]
      var arriving = pages[new]
      guard entry.isMigration, entry.frame.index == old, leaving.hasOneUserAndLock,
        arriving.hasOneUserAndLock
      else {
        finish(source, old, new, slot)
        continue
      }
      // The usual case, with each record read once and written once: a page that moved, was mapped
      // once, and has no other users. The entry's reference takes the place of the driver's.
      arriving.flags = arriving.flags.subtracting(.locked).union(
        entry.arrivesExclusive ? .exclusive : [])
      let isPrivate = arriving.flags.contains(.devicePrivate)
      entries[slot] = entry.arrived(
        at: new, isPrivate: isPrivate, isDirty: arriving.flags.contains(.dirty), protection)
      arriving.mappings = 1
      if new < limit {
        // Only the page that stays goes to the LRU, never the one about to be freed (M06).
        arriving.flags.formUnion(arrivalFlags)
        arriving.references = 2
        pages[new] = arriving
        lru.addCounted(new, cpu: cpu)
      } else {
        pages[new] = arriving
      }
      if isPrivate { onDevice += 1 }
      if old >= limit {
        releaser.release(old)
      } else {
        pages[old].flags = leaving.flags.subtracting(.locked)
        manager.drop(old)
      }
    }
    releaser.finish()
    if let vma { vma.space.tally.devicePages += onDevice }
  }

  /// Any case.
  ///
  /// - Parameter slot: the place of the entry; -1 when it is found through the reverse map only.
  private mutating func finish(
    _ source: MigratePFN, _ old: Int, _ new: Int?, _ slot: Int
  ) {
    var winner = old
    if let new {
      if source.migrates { winner = new } else { manager.unlockAndDrop(new) }
    }
    if winner < limit { lru.add(winner, cpu: cpu) }
    if source.rawValue & MigratePFN.reverse != 0 {
      manager.restoreMappings(from: old, to: winner)
    } else if slot >= 0 {
      restoreEntry(slot, old, winner)
    }
    if old != faultPage { manager.unlock(index: old) }
    if old >= limit && pages[old].references == 1 {
      invariant(
        pages[old].mappings == 0 && !pages[old].flags.contains(.locked),
        "device page \(old) freed while locked or mapped")
      releaser.release(old)
    } else {
      manager.drop(old)
    }
    if winner != old { manager.unlockAndDrop(winner) }
  }

  private mutating func restoreEntry(_ slot: Int, _ old: Int, _ winner: Int) {
    let entry = entries[slot]
    guard entry.isMigration, entry.frame.index == old else { return }
    var flags = pages[winner].flags
    if entry.arrivesExclusive { flags.insert(.exclusive) }
    let isPrivate = flags.contains(.devicePrivate)
    entries[slot] = entry.arrived(
      at: winner, isPrivate: isPrivate, isDirty: flags.contains(.dirty), protection)
    if winner < limit { flags.formUnion(arrivalFlags) }
    pages[winner].flags = flags
    pages[winner].references += 1
    pages[winner].mappings += 1
    if isPrivate { onDevice += 1 }
  }
}

extension PageRecord {
  /// Whether one reference and the lock are all that there is of the page's users: the migration's,
  /// of a page that leaves, or its driver's, of one that arrives.
  @inline(__always)
  fileprivate var hasOneUserAndLock: Bool {
    references == 1 && mappings == 0 && flags.intersection(.lockState) == .locked
  }
}

extension PageFlags {
  /// The lock, what goes with it, and what makes it another page's.
  fileprivate static let lockState: PageFlags = [
    .locked, .waiters, .lockListed, .large, .hugetlb,
  ]
}

extension PageTableEntry {
  /// Whether the page of a migration entry belongs to this mapping alone.
  @inline(__always)
  fileprivate var arrivesExclusive: Bool {
    rawValue & Bit.kindAndPresent != Kind.migrationRead.rawValue << 1
  }
}
