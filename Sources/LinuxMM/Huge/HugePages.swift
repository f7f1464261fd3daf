import Base

/// When faults use huge pages (`/sys/kernel/mm/transparent_hugepage/enabled`).
public enum HugePagePolicy: String, Hashable, Sendable, CaseIterable {
  /// Not at all.
  case never
  /// In mappings that asked for them (``AddressSpace/adviseHuge(_:_:)``).
  case madvise
  /// In every anonymous mapping that didn't refuse them.
  case always
}

/// Counts of huge pages, named after `/proc/vmstat`.
public struct HugePageCounters: Hashable, Sendable {
  /// Huge pages that a fault put in place (`thp_fault_alloc`).
  public var faultAllocations: UInt64 = 0
  /// Faults that took a base page because no huge one could be had (`thp_fault_fallback`).
  public var faultFallbacks: UInt64 = 0
  /// Huge pages made of base pages (`thp_collapse_alloc`).
  public var collapses: UInt64 = 0
  /// Huge pages split into base pages (`thp_split_page`).
  public var splits: UInt64 = 0
  /// Splits that failed (`thp_split_page_failed`).
  public var failedSplits: UInt64 = 0
  /// Huge entries replaced by a table of entries (`thp_split_pmd`).
  public var splitEntries: UInt64 = 0
  /// Huge pages noted for a later split, because parts of them are not mapped any more
  /// (`thp_deferred_split_page`).
  public var deferredSplits: UInt64 = 0
  /// Huge zero pages made (`thp_zero_page_alloc`).
  public var zeroAllocations: UInt64 = 0
  /// Huge pages collected by migrations as one.
  public var migrationsCollected: UInt64 = 0
  /// Huge pages that a migration passed over because they could not be split.
  public var migrationSplitFailures: UInt64 = 0
  /// Huge pages and huge empty places moved by migrations as one.
  public var migrationsCommitted: UInt64 = 0
  /// Huge pages split because the destination was not huge.
  public var migrationSplits: UInt64 = 0
}

/// What a machine keeps of its huge pages.
struct HugePageState {
  var tally = HugePageCounters()
  /// The first page of the shared huge page of zeroes; 0 while nobody uses it.
  var zero = 0
  /// Huge pages with unmapped parts, oldest first; only those that still carry the flag count.
  var deferred: [Int] = []
}

/// Sizes of a huge page: a page of the level above the leaf tables.
public enum HugePage {
  /// log2 of its base pages.
  public static let order = 9
  /// Its base pages.
  public static let pages = 1 << order
  static let mask = pages - 1
  static let bytes = PageSize.hugeBytes

  /// The first address of the huge page around `address`.
  @inline(__always)
  static func base(_ address: VirtualAddress) -> VirtualAddress {
    VirtualAddress(address.rawValue & ~UInt64(bytes - 1))
  }

  /// The range of the huge page around `address`.
  static func range(_ address: VirtualAddress) -> VirtualRange {
    VirtualRange(start: base(address), pages: pages)
  }
}

extension PageFlags {
  // A huge page (folio) is 512 base pages in a row. INVARIANT, for its records:
  // - lock, references, pins, LRU links, dirty and the like stand in the first page's record; a
  //   mapping holds one reference of it, be it a huge entry or an entry of one base page;
  // - `mappings` counts entries of one base page each, in each page's own record;
  // - `references` of the second page is minus the number of huge entries (`_entire_mapcount`),
  //   and that of the others is 0. So no page behind the first has a positive count, and paths for
  //   single pages find out by the count that they load anyway;
  // - `exclusive` is the first page's for a huge entry, and each page's own for the others.

  /// The first page of a huge page (`PG_head`).
  static let head = PageFlags(rawValue: 1 << 20)
  /// A page of a huge page behind the first (`PageTail`).
  static let tail = PageFlags(rawValue: 1 << 21)
  /// A huge page with parts that are not mapped any more (`PG_partially_mapped`).
  static let deferred = PageFlags(rawValue: 1 << 22)
  /// Part of a huge page.
  static let large: PageFlags = [.head, .tail]
}
