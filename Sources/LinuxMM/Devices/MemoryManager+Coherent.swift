import Base
import KernelRuntime

// Coherent pages are mapped for the CPU as RAM is, but stand on no LRU list and must always be
// evictable: a long-term pin moves them out of the device first.
extension MemoryManager {
  /// Moves the coherent pages among those just pinned to RAM (`check_and_migrate_movable_pages`).
  ///
  /// False when every page may stay where it is. True when some moved: no page is pinned any more,
  /// the caller begins again. `EBUSY` when one can't move; no page is pinned then either.
  ///
  /// LOCKING: sleeps for page locks.
  func moveUnpinnable(_ pinned: [PFN]) async throws(KernelError) -> Bool {
    if pinned.allSatisfy({ isLongTermPinnable($0) }) { return false }
    var allMoved = true
    for pfn in pinned {
      if isLongTermPinnable(pfn) || !allMoved {
        drop(.pin, pfn)
        continue
      }
      // A pinned page doesn't migrate: the pin becomes the migration's plain reference.
      get(pfn)
      drop(.pin, pfn)
      allMoved = await migrateCoherentPage(pfn)
    }
    guard allMoved else { throw .EBUSY }
    return true
  }

  /// Moves one coherent page to RAM wherever it is mapped, using up the caller's reference
  /// (`migrate_device_coherent_folio`); false when it stays.
  private func migrateCoherentPage(_ pfn: PFN) async -> Bool {
    await lock(pfn)
    let buffers = MigrationBuffers(pages: 1)
    buffers.begin(self, pages: 1)
    buffers.arrays[source: 0] = MigratePFN(
      rawValue: MigratePFN(pfn).rawValue | MigratePFN.migrate | MigratePFN.pending)
    buffers.arrays[destination: 0] = .empty
    buffers.collected = 1
    await unmapPending(buffers)
    let pages = CollectedPages(buffers)
    if pages[source: 0].migrates, let run = try? allocateLockedRun(upTo: 1) {
      copyPage(from: pfn, to: run.start)
      pages[destination: 0] = MigratePFN(run.start)
    }
    let committed = await pages.commit()
    let moved = committed[source: 0].migrates
    committed.finalize()
    return moved
  }
}
