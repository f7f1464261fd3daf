import Base
import KernelRuntime

// Coherent pages are mapped for the CPU as RAM is, but stand on no LRU list and must always be
// evictable: a long-term pin moves them out of the device first.
extension MemoryManager {
  /// Moves the coherent pages among those just pinned to RAM (`check_and_migrate_movable_pages`).
  ///
  /// False when every page may stay where it is. True when those that may not have gone, or are
  /// nearer to it: no page is pinned any more, the caller begins again. `EBUSY` when one can't
  /// move; no page is pinned then either.
  ///
  /// LOCKING: sleeps for page locks.
  func moveUnpinnable(_ pinned: [PFN]) async throws(KernelError) -> Bool {
    if pinned.allSatisfy({ isLongTermPinnable($0) }) { return false }
    // A pinned page doesn't migrate: the pins become one plain reference of each page, or huge
    // page, that has to go.
    var leaving: [PFN] = []
    for pfn in pinned {
      let head = folio(of: pfn)
      if !isLongTermPinnable(pfn) && leaving.last != head {
        get(head)
        leaving.append(head)
      }
      drop(.pin, pfn)
    }
    var allMoved = true
    for head in leaving {
      if allMoved {
        allMoved = await isHuge(head) ? migrateCoherentFolio(head) : migrateCoherentPage(head)
      } else {
        put(head)
      }
    }
    guard allMoved else { throw .EBUSY }
    return true
  }

  /// Moves one coherent page to RAM wherever it is mapped, using up the caller's reference
  /// (`migrate_device_coherent_folio`); false when it stays.
  private func migrateCoherentPage(_ pfn: PFN) async -> Bool {
    await lock(pfn)
    let pages = await collectCoherent(pfn, pages: 1, MigratePFN(pfn))
    if pages[source: 0].migrates { _ = fillFromCoherent(pages, pfn) }
    let committed = await pages.commit()
    let moved = committed[source: 0].migrates
    committed.finalize()
    return moved
  }

  /// The same of a huge page, which stays whole where RAM has 2 MiB in a row. One that is mapped in
  /// parts is only split: its pages go in the next round, one by one.
  private func migrateCoherentFolio(_ head: PFN) async -> Bool {
    await lock(head)
    if partMappings(head.index) > 0 {
      var isSplit = true
      do throws(KernelError) {
        try await splitFolio(head, faultPage: head)
      } catch {
        isSplit = false
      }
      unlock(head)
      put(head)
      return isSplit
    }
    let pages = await collectCoherent(head, pages: HugePage.pages, MigratePFN(huge: head))
    if pages[source: 0].migrates {
      if let target = try? allocateHugePage() {
        _ = tryLock(target)
        let (from, place) = backing(head.index << PageSize.shift)
        ram.copy(
          from: from, at: place, to: target.index << PageSize.shift, length: HugePage.bytes)
        pages[destination: 0] = MigratePFN(huge: target)
      } else if !fillFromCoherent(pages, head) {
        for index in 0..<HugePage.pages {
          if let page = pages[destination: index].pfn { unlockAndDrop(page.index) }
          pages[destination: index] = .empty
        }
      }
    }
    let committed = await pages.commit()
    let moved = (0..<HugePage.pages).allSatisfy {
      committed[source: $0].migrates || ($0 > 0 && !committed[source: $0].isValid)
    }
    committed.finalize()
    return moved
  }

  /// Unmaps a locked coherent page, or huge page, for its way to RAM.
  private func collectCoherent(
    _ page: PFN, pages count: Int, _ word: MigratePFN
  ) async -> CollectedPages {
    let buffers = MigrationBuffers(pages: count)
    buffers.begin(self, PFNRange(start: page, count: count))
    kernel.trace.record(.migrateSetup, page.rawValue, UInt64(count))
    for place in 0..<count {
      buffers.arrays[source: place] = .empty
      buffers.arrays[destination: place] = .empty
    }
    buffers.arrays[source: 0] = MigratePFN(
      rawValue: word.rawValue | MigratePFN.migrate | MigratePFN.pending)
    if word.isCompound { buffers.compounds.append(0) }
    buffers.collected = 1
    await unmapPending(buffers)
    kernel.trace.record(
      .migrateCollect, page.rawValue, UInt64(count), UInt64(buffers.collected))
    return CollectedPages(buffers)
  }

  /// Gives each place a page of RAM with the bytes of the coherent page; false when they run out.
  private func fillFromCoherent(_ pages: borrowing CollectedPages, _ first: PFN) -> Bool {
    for index in 0..<pages.count {
      guard let run = try? allocateLockedRun(upTo: 1) else { return false }
      copyPage(from: first + UInt64(index), to: run.start)
      pages[destination: index] = MigratePFN(run.start)
    }
    return true
  }
}
