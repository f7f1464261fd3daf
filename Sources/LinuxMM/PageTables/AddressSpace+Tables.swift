import Base
import KernelRuntime

extension AddressSpace {
  /// The leaf table that maps `address`; 0 where there is none, and where a huge page is mapped.
  @inline(__always)
  func leafTable(_ address: VirtualAddress) -> Int {
    let entries = tables.entries
    var table = root
    table = Self.below(entries, table, PageTableLevel.index(address, 39))
    if table == 0 { return 0 }
    table = Self.below(entries, table, PageTableLevel.index(address, 30))
    if table == 0 { return 0 }
    let slot = table << PageTablePool.tableShift | PageTableLevel.index(address, 21)
    let entry = entries[slot].rawValue
    // A huge entry is no table.
    return entry & PageTableEntry.Bit.hugeLeaf == 0 ? Int(truncatingIfNeeded: entry >> 12) : 0
  }

  @inline(__always)
  static func below(
    _ entries: FlatView<PageTableEntry>, _ table: Int, _ index: Int
  ) -> Int {
    Int(truncatingIfNeeded: entries[table << PageTablePool.tableShift | index].rawValue >> 12)
  }

  /// The place of the leaf entry of `address` in the pool; nil where no table is.
  @inline(__always)
  func leafSlot(_ address: VirtualAddress) -> Int? {
    let table = leafTable(address)
    if table == 0 { return nil }
    return table << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
  }

  /// As ``leafTable(_:)``, making the tables that are missing; `ENOMEM` when one can't be had,
  /// `EBUSY` where a huge page is mapped.
  func makeLeafTable(_ address: VirtualAddress) throws(KernelError) -> Int {
    try makeTable(address, PageTableLevel.upper)
  }

  /// Walks down the levels of `shifts` and makes what is missing.
  func makeTable(_ address: VirtualAddress, _ shifts: [Int]) throws(KernelError) -> Int {
    var table = root
    for shift in shifts {
      let slot = table << PageTablePool.tableShift | PageTableLevel.index(address, shift)
      guard !tables.entries[slot].isHugeLeaf else { throw .EBUSY }
      let next = Int(tables.entries[slot].rawValue >> 12)
      if next != 0 {
        table = next
        continue
      }
      kernel.mightAllocate()
      try kernel.failures.check(.pageTableAlloc)
      guard let made = tables.take() else { throw .ENOMEM }
      tally.pageTables += 1
      tables.entries[slot] = .present(PFN(UInt64(made)), 0)
      table = made
    }
    return table
  }

  /// Visits each leaf table that exists in `range`, with the part of the range that it maps; huge
  /// entries are passed over.
  func forEachLeafTable(
    in range: VirtualRange, _ body: (_ table: Int, _ part: VirtualRange) -> Void
  ) {
    var address = range.start
    while address < range.end {
      let next = Self.tableEnd(address, 21)
      let end = min(next, range.end)
      let table = leafTable(address)
      if table != 0 {
        body(table, VirtualRange(address, end))
        address = end
      } else {
        address = min(skipMissing(address), range.end)
      }
    }
  }

  /// The end of the table span of `1 << shift` bytes around `address`.
  static func tableEnd(_ address: VirtualAddress, _ shift: UInt64) -> VirtualAddress {
    VirtualAddress((address.rawValue >> shift + 1) << shift)
  }

  /// The first address past the highest missing table above `address`.
  private func skipMissing(_ address: VirtualAddress) -> VirtualAddress {
    let entries = tables.entries
    var table = root
    for shift in PageTableLevel.upper {
      table = Self.below(entries, table, PageTableLevel.index(address, shift))
      if table == 0 { return Self.tableEnd(address, UInt64(shift)) }
    }
    return Self.tableEnd(address, 21)
  }

  /// Frees the tables that only `range` can have used (`free_pgtables`).
  ///
  /// `floor` and `ceiling` are the ends of the neighbouring mappings: a table that they share with
  /// the range stays. Every entry of `range` is empty by now.
  func freeTables(_ range: VirtualRange, floor: VirtualAddress, ceiling: VirtualAddress) {
    freeTables(
      root, level: 0, base: 0, range: range.start.rawValue..<range.end.rawValue,
      bounds: floor.rawValue..<ceiling.rawValue)
  }

  /// Frees what hangs below `table` within the bounds.
  private func freeTables(
    _ table: Int, level: Int, base: UInt64, range: Range<UInt64>, bounds: Range<UInt64>
  ) {
    let shift = UInt64(PageTableLevel.upper[level])
    let span = UInt64(1) << shift
    let first = (max(range.lowerBound, base) - base) >> shift
    let last = min((range.upperBound - 1 - base) >> shift, 511)
    for index in first...last {
      let slot = table << PageTablePool.tableShift | Int(index)
      let next = Int(tables.entries[slot].rawValue >> 12)
      if next == 0 || tables.entries[slot].isHugeLeaf { continue }
      let start = base + index << shift
      if level + 1 < PageTableLevel.upper.count {
        freeTables(next, level: level + 1, base: start, range: range, bounds: bounds)
      }
      if bounds.lowerBound <= start && start + span <= bounds.upperBound {
        tables.entries[slot] = .none
        tables.give(next)
        tally.pageTables -= 1
      }
    }
  }

  /// Accounts a flush of CPU translations.
  ///
  /// LOCKING: before the page-table lock is dropped (R26, M02).
  @inline(__always)
  func flushTranslations(pages: Int) {
    tally.tlbFlushes &+= 1
    tally.tlbFlushedPages &+= UInt64(truncatingIfNeeded: pages)
  }
}
