public import Base
import KernelRuntime

extension PageTableEntry {
  /// Whether an entry above the leaf tables stands for a huge page, and is no table.
  @inline(__always)
  var isHugeLeaf: Bool { rawValue & Bit.hugeLeaf != 0 }

  /// Whether the entry maps the shared huge page of zeroes.
  var isHugeZero: Bool { has(Bit.present | Bit.huge | Bit.special) }

  /// A present huge entry.
  static func hugePresent(_ head: Int, _ bits: UInt64) -> PageTableEntry {
    .present(PFN(UInt64(head)), bits | Bit.huge)
  }

  /// The entry of one base page within a huge entry.
  func part(_ index: Int) -> PageTableEntry {
    if isHugeZero {
      return PageTableEntry.zeroPage.with(rawValue & (Bit.noAccess | Bit.software))
    }
    let entry = isPresent ? without(Bit.huge) : self
    return PageTableEntry(rawValue: entry.rawValue + UInt64(index) << 12)
  }
}

// Huge entries: those of the level above the leaf tables that stand for a page of 2 MiB.
extension AddressSpace {
  /// Whether a fault has to look for huge pages.
  @inline(__always)
  var mayBeHuge: Bool { manager.hugePolicy != .never || !spareTables.isEmpty }

  /// The place in the pool of the entry above the leaf table of `address`; nil where no table is.
  func upperSlot(_ address: VirtualAddress) -> Int? {
    let entries = manager.tables.entries
    var table = Self.below(entries, root, PageTableLevel.index(address, 39))
    if table == 0 { return nil }
    table = Self.below(entries, table, PageTableLevel.index(address, 30))
    if table == 0 { return nil }
    return table << PageTablePool.tableShift | PageTableLevel.index(address, 21)
  }

  /// As ``upperSlot(_:)``, making the tables that are missing; `ENOMEM` when one can't be had.
  func makeUpperSlot(_ address: VirtualAddress) throws(KernelError) -> Int {
    let table = try makeTable(address, PageTableLevel.aboveHuge)
    return table << PageTablePool.tableShift | PageTableLevel.index(address, 21)
  }

  /// The huge entry around `address`; nil where there is none.
  func hugeEntry(_ address: VirtualAddress) -> PageTableEntry? {
    guard !spareTables.isEmpty, let slot = upperSlot(address) else { return nil }
    let entry = manager.tables.entries[slot]
    return entry.isHugeLeaf ? entry : nil
  }

  /// What a huge entry says of one base page; empty where there is none.
  func hugePart(_ address: VirtualAddress) -> PageTableEntry {
    hugeEntry(address)?.part(PageTableLevel.leafIndex(address)) ?? .none
  }

  /// Whether one huge entry maps the 2 MiB around `address`; for audits and expectations.
  public func isMappedHuge(_ address: VirtualAddress) -> Bool { hugeEntry(address) != nil }

  /// Takes the table that a huge entry needs for its split (`pgtable_trans_huge_deposit`).
  func takeSpareTable() throws(KernelError) -> Int {
    try kernel.failures.check(.pageTableAlloc)
    guard let table = manager.tables.take() else { throw .ENOMEM }
    return table
  }

  /// Puts a huge entry into an empty slot, with its spare table.
  func install(_ entry: PageTableEntry, _ slot: Int, spare table: Int) {
    spareTables.append(table)
    tally.pageTables += 1
    manager.tables.entries[slot] = entry
  }

  /// Empties the slot of a huge entry and frees its spare table.
  func removeHuge(_ slot: Int) {
    manager.tables.entries[slot] = .none
    if let table = spareTables.popLast() {
      manager.tables.give(table)
      tally.pageTables -= 1
    }
  }

  /// Visits the slot of each huge entry that `range` touches, by address.
  func forEachHugeSlot(
    in range: VirtualRange, _ body: (_ slot: Int, _ base: VirtualAddress) -> Void
  ) {
    var address = HugePage.base(range.start)
    while address < range.end && !spareTables.isEmpty {
      if let slot = upperSlot(address), manager.tables.entries[slot].isHugeLeaf {
        body(slot, address)
      }
      address += UInt64(HugePage.bytes)
    }
  }

  /// Replaces a huge entry by a table of 512 entries for the same pages (`__split_huge_pmd`); does
  /// nothing where there is none. The spare table is used, so this can't fail.
  ///
  /// LOCKING: under the page-table lock. No page changes its place, so mirrors need not be told for
  /// their bytes' sake; ``splitHugeEntries(in:)`` tells them as the kernel does.
  func splitHugeEntry(_ address: VirtualAddress) {
    guard let entry = hugeEntry(address), let slot = upperSlot(address),
      let table = spareTables.popLast()
    else { return }
    manager.huge.tally.splitEntries += 1
    let block = manager.tables.block(table)
    for index in 0..<HugePage.pages { block[index] = entry.part(index) }
    manager.tables.entries[slot] = .present(PFN(UInt64(table)), 0)
    if entry.isPresent { flushTranslations(pages: HugePage.pages) }
    if entry.isHugeZero { return manager.drop(entry.frame.index) }
    // A page under migration is held by the migration alone.
    if entry.isMigration { return }
    manager.mapParts(entry.frame.index)
  }

  /// Splits every huge entry that `range` touches and tells the mirrors, so that all of it is
  /// mapped by base pages; for callers that can't do with huge entries.
  func splitHugeEntries(in range: VirtualRange) async {
    var address = HugePage.base(range.start)
    while address < range.end && !spareTables.isEmpty {
      if hugeEntry(address) != nil {
        let event = NotifierEvent(.clear, HugePage.range(address))
        await invalidateStart(event)
        splitHugeEntry(address)
        invalidateEnd(event)
      }
      address += UInt64(HugePage.bytes)
    }
  }

  /// Splits the huge entries that reach over the ends of `range` (`vma_adjust_trans_huge`).
  func splitHugeEnds(_ range: VirtualRange) async {
    for end in [range.start, range.end] where !spareTables.isEmpty {
      if end != HugePage.base(end) {
        await splitHugeEntries(in: VirtualRange(start: end.pageBase, pages: 1))
      }
    }
  }
}

extension PageTableLevel {
  /// The levels above the one that can hold huge entries.
  static let aboveHuge = [39, 30]
}

extension MemoryManager {
  /// One huge entry of a huge page has become 512 entries.
  func mapParts(_ head: Int) {
    let isExclusive = pages[head].flags.contains(.exclusive)
    for pfn in head..<head + HugePage.pages {
      pages[pfn].mappings += 1
      if isExclusive { pages[pfn].flags.insert(.exclusive) }
    }
    pages[head].references += Int32(HugePage.pages - 1)
    countEntireMappings(head, -1)
  }
}
