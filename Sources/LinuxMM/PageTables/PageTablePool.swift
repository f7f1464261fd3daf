import Base
import KernelRuntime

/// The page-table pages of one machine: tables of 512 entries in one flat, lazily mapped pool.
///
/// An entry of an upper level holds the number of the table below; table 0 stands for none. Above
/// the leaf tables an entry can also map a huge page, which its kind bits tell.
/// INVARIANT: a free table is all zero, but for the number of the next free one in entry 0.
final class PageTablePool {
  static let entriesPerTable = 512
  static let tableShift = 9

  let entries: FlatView<PageTableEntry>
  /// Where the entries lie; held, so that they live as long as the pool.
  private let memory: MappedMemory
  /// Tables below this number were never handed out.
  private(set) var untouched: Int
  private var free = 0
  /// Tables in use.
  private(set) var used = 0

  init(_ memory: MappedMemory, at offset: Int, tables: Int) {
    self.memory = memory
    entries = FlatView(memory, at: offset, count: tables << Self.tableShift)
    untouched = tables
  }

  /// An empty table; nil when the pool is spent.
  func take() -> Int? {
    if free != 0 {
      let table = free
      free = Int(entries[table << Self.tableShift].rawValue)
      entries[table << Self.tableShift] = .none
      used += 1
      return table
    }
    guard untouched > 1 else { return nil }
    untouched -= 1
    used += 1
    return untouched
  }

  /// Takes back a table whose entries are all empty.
  func give(_ table: Int) {
    entries[table << Self.tableShift] = PageTableEntry(rawValue: UInt64(free))
    free = table
    used -= 1
  }

  /// The entries of one table.
  @inline(__always)
  func block(_ table: Int) -> FlatBlock<PageTableEntry> {
    entries.block(at: table << Self.tableShift)
  }
}

/// Index arithmetic of the four levels.
enum PageTableLevel {
  /// Shifts of the levels above the leaf, from the root down.
  static let upper = [39, 30, 21]
  /// log2 of the bytes that one leaf table maps.
  static let leafShift: UInt64 = 21

  @inline(__always)
  static func index(_ address: VirtualAddress, _ shift: Int) -> Int {
    Int(truncatingIfNeeded: address.rawValue >> UInt64(shift)) & 511
  }

  /// The index in a leaf table.
  @inline(__always)
  static func leafIndex(_ address: VirtualAddress) -> Int { index(address, 12) }
}
