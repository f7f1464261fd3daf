import Base
import KernelRuntime

extension MigrationBuffers {
  /// Maps the winner of each place, unlocks both pages, drops both references
  /// (`migrate_vma_finalize`).
  func finalize() {
    guard let manager else { invariantFailed("a migration without a machine") }
    if let space {
      guard let vma = space.find(start) else {
        invariantFailed("the mapping at \(start) went during a migration (R4)")
      }
      finalizeRange(manager, space, vma)
    } else {
      // A physical range: every entry is found through the reverse map.
      if compounds.isEmpty {
        finish(manager, arrays, 0..<count, nil, firstSlot: -1)
      } else {
        forEachBaseRange { finish(manager, arrays, $0, nil, firstSlot: -1) }
        for place in compounds { finalizeFolio(manager, arrays, place) }
      }
    }
    manager.kernel.trace.record(.migrateFinalize, start.rawValue, UInt64(count))
    manager.activeMigrations.removeAll { $0 === self }
    task = nil
    phase = .idle
    count = 0
    collected = 0
    self.manager = nil
    space = nil
    owner = nil
    faultPage = nil
  }

  /// A process's range: the entry to restore is found by address.
  private func finalizeRange(_ manager: MemoryManager, _ space: AddressSpace, _ vma: VMA) {
    let arrays = arrays
    var place = 0
    while place < count {
      let address = start + UInt64(place) << 12
      let end = AddressSpace.tableEnd(address, PageTableLevel.leafShift)
      let stop = min(count, place + Int((end.rawValue - address.rawValue) >> 12))
      if arrays[source: place].isCompound {
        finalizeFolio(manager, arrays, place)
        place = stop
        continue
      }
      let table = space.leafTable(address)
      let slot = table << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
      finish(manager, arrays, place..<stop, vma, firstSlot: table == 0 ? -1 : slot)
      place = stop
    }
  }

  /// Finishes places whose entries follow each other from `firstSlot` on; -1 when they don't.
  private func finish(
    _ manager: MemoryManager, _ arrays: MigrationArrays, _ places: Range<Int>, _ vma: VMA?,
    firstSlot: Int
  ) {
    let pages = manager.pages
    let entries = manager.tables.entries
    let limit = manager.frames.limit
    let lru = manager.lru
    let cpu = manager.currentCPU
    let faultPage = faultPage?.index ?? -1
    let protection = vma?.protection ?? []
    let arrivalFlags = vma?.arrivalFlags ?? []
    var releaser = DevicePageReleaser(manager)
    var onDevice = 0
    for place in places {
      let source = arrays[source: place]
      let new = arrays[destination: place].pfn?.index
      guard let old = source.pfn?.index else {
        if let new { manager.unlockAndDrop(new) }
        continue
      }
      if let new, firstSlot >= 0, old != faultPage,
        source.rawValue & (MigratePFN.migrate | MigratePFN.reverse) == MigratePFN.migrate
      {
        let slot = firstSlot + (place - places.lowerBound)
        let entry = entries[slot]
        let leaving = pages[old]
        var arriving = pages[new]
        if entry.isMigration && entry.frame.index == old && leaving.isLeavingAlone
          && arriving.isArrivingAlone
        {
          // The usual case, with each record read once and written once: the entry's reference
          // takes the place of the driver's.
          arriving.flags = arriving.flags.subtracting(.locked).union(
            entry.arrivesExclusive ? .exclusive : [])
          let isPrivate = arriving.flags.contains(.devicePrivate)
          entries[slot] = entry.arrived(
            at: new, isPrivate: isPrivate, isDirty: arriving.flags.contains(.dirty), protection)
          arriving.mappings = 1
          if new < limit {
            arriving.flags.formUnion(arrivalFlags.union(.batched))
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
          continue
        }
      }
      var winner = old
      if let new {
        if source.migrates { winner = new } else { manager.unlockAndDrop(new) }
      }
      // Only the page that stays goes to the LRU, never the one about to be freed (M06).
      if winner < limit { lru.add(winner, cpu: cpu) }
      if source.rawValue & MigratePFN.reverse != 0 {
        manager.restoreMappings(from: old, to: winner)
      } else if firstSlot >= 0 {
        let slot = firstSlot + (place - places.lowerBound)
        let entry = entries[slot]
        if entry.isMigration && entry.frame.index == old {
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
    releaser.finish()
    if let vma { vma.space.tally.devicePages += onDevice }
  }
}

extension PageRecord {
  /// Whether the migration's reference and lock are all that is left of the page.
  @inline(__always)
  fileprivate var isLeavingAlone: Bool {
    references == 1 && mappings == 0 && flags.intersection(.lockState) == .locked
  }
  /// Whether a destination has only its driver's reference and lock.
  @inline(__always)
  fileprivate var isArrivingAlone: Bool {
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

extension MemoryManager {
  @inline(__always)
  func unlockAndDrop(_ pfn: Int) {
    unlock(index: pfn)
    drop(pfn)
  }
}
