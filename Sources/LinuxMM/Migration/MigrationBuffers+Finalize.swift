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
    manager.kernel.trace.record(.migrateFinalize, tracedStart, UInt64(count))
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
    var finisher = PageFinisher(manager, vma, faultPage: faultPage)
    finisher.finish(arrays, places, firstSlot: firstSlot)
  }
}

extension MemoryManager {
  @inline(__always)
  func unlockAndDrop(_ pfn: Int) {
    unlock(index: pfn)
    drop(pfn)
  }
}
