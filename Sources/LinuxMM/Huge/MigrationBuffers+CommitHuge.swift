import Base
import KernelRuntime

// The commit and the end of what migrates as one 2 MiB page.
extension MigrationBuffers {
  /// Visits the places in order that belong to no huge page.
  func forEachBaseRange(_ body: (Range<Int>) -> Void) {
    var next = 0
    for place in compounds {
      if next < place { body(next..<place) }
      next = place + HugePage.pages
    }
    if next < count { body(next..<count) }
  }

  /// Moves each huge page that has a huge destination. One whose destination is not huge is split
  /// into base words, for the path that follows (`__migrate_device_pages`).
  ///
  /// Returns the first huge empty place to fill, or -1.
  func commitFolios(_ manager: MemoryManager, _ arrays: MigrationArrays) -> Int {
    var firstHole = -1
    var left: [Int] = []
    for place in compounds {
      let source = arrays[source: place]
      let target = arrays[destination: place]
      guard source.migrates else {
        left.append(place)
        continue
      }
      if target.isCompound {
        left.append(place)
        guard manager.isNewFolio(target) else {
          arrays[source: place] = source.refused
          continue
        }
        if source.isValid {
          commitFolio(manager, arrays, place)
        } else if firstHole < 0 {
          firstHole = place
        }
      } else if !hasDestination(arrays, place) {
        // R15: no destination, no migration.
        left.append(place)
        arrays[source: place] = source.refused
        reasons?.note(place, MigrationReason(.declined))
      } else if !breakUp(manager, arrays, place) {
        left.append(place)
        arrays[source: place] = source.refused
        reasons?.note(place, MigrationReason(.splitFailed))
      }
    }
    compounds = left
    return firstHole
  }

  private func hasDestination(_ arrays: MigrationArrays, _ place: Int) -> Bool {
    (place..<place + HugePage.pages).contains { arrays[destination: $0].isValid }
  }

  private func commitFolio(
    _ manager: MemoryManager, _ arrays: MigrationArrays, _ place: Int
  ) {
    let source = arrays[source: place]
    guard let old = source.pfn?.index, let new = arrays[destination: place].pfn?.index else {
      return
    }
    let pages = manager.pages
    let expected: Int32 = faultPage?.index == old ? 2 : 1
    guard pages[old].references == expected, !manager.failures.fires(.migrateCommit) else {
      arrays[source: place] = source.refused
      reasons?.note(place, manager.reason(ofRefused: old, expected: expected))
      return
    }
    manager.setPlaces(new, pages[old].anonymous)
    if let groups = manager.groups {
      for index in 0..<HugePage.pages { groups.move(from: old + index, to: new + index) }
    }
    pages[new].flags.formUnion(pages[old].flags.intersection(.migrating))
    manager.tally.migrationsCommitted &+= UInt64(HugePage.pages)
    manager.huge.tally.migrationsCommitted += 1
  }

  /// Makes a huge source 512 base sources; false when it can't be split.
  private func breakUp(
    _ manager: MemoryManager, _ arrays: MigrationArrays, _ place: Int
  ) -> Bool {
    let source = arrays[source: place]
    var own = source.rawValue & (MigratePFN.migrate | MigratePFN.write)
    if let head = source.pfn?.index {
      let extra: Int32 = faultPage?.index == head ? 2 : 1
      guard manager.splitUnmapped(head, extra: extra) == nil else { return false }
      manager.huge.tally.migrationSplits += 1
      // The huge entry may have been shared: finalize goes through the reverse map.
      own |= MigratePFN.reverse
      for index in 0..<HugePage.pages {
        arrays[source: place + index] = MigratePFN(
          rawValue: MigratePFN(PFN(UInt64(head + index))).rawValue | own)
      }
    } else {
      // The huge zero page makes way for single ones.
      let address = start + UInt64(place) << 12
      if let space, space.hugeEntry(address)?.isHugeZero == true { space.splitHugeEntry(address) }
      for index in 0..<HugePage.pages {
        arrays[source: place + index] = MigratePFN(rawValue: own)
      }
    }
    return true
  }

  /// Ends the migration of one huge place (`__migrate_device_finalize`).
  func finalizeFolio(_ manager: MemoryManager, _ arrays: MigrationArrays, _ place: Int) {
    let source = arrays[source: place]
    let new = arrays[destination: place].pfn?.index
    for index in 1..<HugePage.pages {
      // Destinations that no page was left for.
      if let stray = arrays[destination: place + index].pfn?.index {
        manager.unlockAndDrop(stray)
      }
    }
    guard let old = source.pfn?.index else {
      if let new { manager.unlockAndDrop(new) }
      return
    }
    var winner = old
    if let new {
      if source.migrates { winner = new } else { manager.unlockAndDrop(new) }
    }
    if winner < manager.frames.limit { manager.lru.addNow(winner) }
    manager.restoreFolio(from: old, to: winner)
    if old != faultPage?.index { manager.unlock(index: old) }
    if winner != old { manager.unlock(index: winner) }
    manager.settleParts(winner)
    manager.drop(old)
    if winner != old { manager.drop(winner) }
  }
}

extension MemoryManager {
  /// Whether a destination is a new huge page of the driver's: locked and mapped nowhere (R13).
  func isNewFolio(_ word: MigratePFN) -> Bool {
    guard let head = word.pfn?.index else { return false }
    let record = pages[head]
    invariant(
      record.flags.contains([.head, .locked]) && record.references > 0
        && record.anonymous == .none,
      "destination \(head) is not a new, locked huge page (R13)")
    return true
  }

  /// After a migration: a huge page of which parts were unmapped on the way is noted as such.
  ///
  /// LOCKING: the caller holds one reference.
  func settleParts(_ head: Int) {
    guard entireMappings(head) == 0, pages[head].flags.contains(.head),
      pages[head].references > 1
    else { return }
    let pages = pages
    if (head..<head + HugePage.pages).contains(where: { pages[$0].mappings == 0 }) {
      notePartlyMapped(head)
    }
  }
}
