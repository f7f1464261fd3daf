import Base

/// Copies page-table entries from a parent to its child, one mapping at a time.
///
/// LOCKING: under both page-table locks; nothing here sleeps.
struct EntryCopier {
  typealias Bit = PageTableEntry.Bit
  private let manager: MemoryManager
  private let pages: FlatView<PageRecord>
  private let vma: VMA
  let child: AddressSpace
  private let isCopyOnWrite: Bool
  /// The mark of a watched write, unless the child's writes are watched too.
  private let unwatched: UInt64

  enum Outcome {
    /// `protected`: the parent lost the right to write.
    case copied(protected: Bool)
    /// The page is pinned: the child gets a copy, for which a page is needed.
    case needsPage
    /// A device is just being given the page alone.
    case isBusy
  }

  init(_ parent: AddressSpace, _ vma: VMA, _ child: AddressSpace) {
    manager = parent.manager
    pages = parent.manager.pages
    self.vma = vma
    self.child = child
    isCopyOnWrite = vma.isCopyOnWrite
    let isWatched = child.find(vma.start)?.flags.contains(.userfaultWriteProtect) ?? false
    unwatched = isWatched ? 0 : Bit.userfaultWP
  }

  /// Gives the child what the parent's entry says.
  func duplicate(
    _ source: FlatBlock<PageTableEntry>, _ target: FlatBlock<PageTableEntry>, _ slot: Int
  ) -> Outcome {
    let entry = source[slot]
    if entry.isPresent { return duplicatePresent(source, target, slot, entry) }
    guard let kind = entry.kind else { invariantFailed("the copy of an empty entry") }
    switch kind {
    case .deviceRead, .deviceWrite:
      shareMapping(entry.frame.index)
      child.tally.devicePages += 1
      return share(source, target, slot, entry, readable: .deviceRead)
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      // The migration finds the child's entry through the reverse map.
      child.tally.count(pages[entry.frame.index], 1)
      return share(source, target, slot, entry, readable: .migrationRead)
    case .swap:
      let shared = entry.without(Bit.exclusive)
      manager.duplicateSwap(entry)
      child.tally.swapEntries += 1
      source[slot] = shared
      target[slot] = shared.without(unwatched)
      return .copied(protected: false)
    case .exclusiveRead, .exclusiveWrite:
      guard vma.space.restoreExclusive(vma, source, slot) else { return .isBusy }
      return duplicatePresent(source, target, slot, source[slot])
    case .marker where entry == .protectMarker && unwatched != 0:
      return .copied(protected: false)
    case .poison, .marker:
      target[slot] = entry
      return .copied(protected: false)
    }
  }

  /// A page that the CPU maps (`copy_present_pte`).
  private func duplicatePresent(
    _ source: FlatBlock<PageTableEntry>, _ target: FlatBlock<PageTableEntry>, _ slot: Int,
    _ entry: PageTableEntry
  ) -> Outcome {
    let pfn = entry.frame.index
    if !entry.has(Bit.special) {
      let record = pages[pfn]
      // Once shared, the next write would give the parent another page than the device has.
      if record.flags.contains(.exclusive) && manager.isPinned(pfn) { return .needsPage }
      shareMapping(pfn)
    }
    let protects = isCopyOnWrite && entry.isWritable
    if protects { source[slot] = entry.without(Bit.write) }
    var copy = entry.without(Bit.young | unwatched)
    if isCopyOnWrite {
      copy = copy.without(Bit.write)
    } else {
      copy = copy.without(Bit.dirty)
    }
    target[slot] = copy
    return .copied(protected: protects)
  }

  /// One more entry maps the page, which so is no longer of one mapping alone
  /// (`folio_try_dup_anon_rmap_pte`).
  private func shareMapping(_ pfn: Int) {
    pages[pfn].flags.remove(.exclusive)
    pages[manager.folio(pfn)].references += 1
    pages[pfn].mappings += 1
    child.tally.count(pages[pfn], 1)
  }

  /// Puts an entry without the right to write into both tables (`copy_nonpresent_pte`).
  private func share(
    _ source: FlatBlock<PageTableEntry>, _ target: FlatBlock<PageTableEntry>, _ slot: Int,
    _ entry: PageTableEntry, readable: PageTableEntry.Kind
  ) -> Outcome {
    var shared = entry
    if isCopyOnWrite {
      shared = .absent(
        readable, entry.frame, entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
      source[slot] = shared
    }
    target[slot] = shared.without(unwatched)
    return .copied(protected: false)
  }

  /// Gives the child a page of its own with the parent's bytes (`copy_present_page`).
  func copyPage(
    _ source: FlatBlock<PageTableEntry>, _ target: FlatBlock<PageTableEntry>, _ slot: Int,
    to copy: PFN
  ) {
    let entry = source[slot]
    let old = entry.frame.index
    manager.copyPage(from: entry.frame, to: copy)
    // The same place in the same region: the two pages differ by their number.
    manager.addNewAnonymous(copy.index, pages[old].anonymous)
    manager.lru.add(copy.index, cpu: manager.currentCPU)
    child.tally.residentPages += 1
    var bits = Bit.dirty | Bit.softDirty | entry.rawValue & Bit.noAccess
    let watched = entry.rawValue & Bit.userfaultWP & ~unwatched
    if watched != 0 {
      bits |= watched
    } else if vma.protection.contains(.write) {
      bits |= Bit.write
    }
    target[slot] = .present(copy, bits)
  }
}
