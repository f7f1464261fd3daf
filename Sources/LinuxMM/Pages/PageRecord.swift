/// What the model keeps of one page (`struct page`): 32 bytes, two to a cache line.
///
/// What few pages have (a swap slot, a poison mark) belongs in side tables by PFN, which cost
/// nothing until touched. What the fields of a huge page's records mean is told at
/// ``PageFlags/head``.
struct PageRecord: BitwiseCopyable {
  var flags: PageFlags
  /// References (`_refcount`); 0 in a free page.
  var references: Int32
  /// Page-table entries that map the page, device-private entries included (`_mapcount` + 1).
  var mappings: Int32
  /// A system page: GUP pins among the references. A device page: its pagemap's number.
  var extra: UInt32
  /// Where an anonymous page or a page of a file belongs, for the reverse map; 0 when nowhere.
  var anonymous: AnonymousPlace
  /// A system page on the LRU: the neighbours. A device page: the driver's word
  /// (`zone_device_data`). A free page that heads a run: the next run.
  var links: UInt64
}

/// Flags of a page (`PG_*`).
struct PageFlags: OptionSet, BitwiseCopyable {
  let rawValue: UInt32
  @inline(__always)
  init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `PG_locked`.
  static let locked = PageFlags(rawValue: 1 << 0)
  /// `PG_waiters`: a task may sleep for the lock.
  static let waiters = PageFlags(rawValue: 1 << 1)
  /// `PG_lru`: linked into the LRU list.
  static let lru = PageFlags(rawValue: 1 << 2)
  /// In a CPU's batch on its way to the LRU; the batch holds a reference.
  static let batched = PageFlags(rawValue: 1 << 3)
  /// `PG_dirty`.
  static let dirty = PageFlags(rawValue: 1 << 4)
  /// `PG_referenced`.
  static let referenced = PageFlags(rawValue: 1 << 5)
  /// `PG_uptodate`: the contents are meaningful.
  static let uptodate = PageFlags(rawValue: 1 << 6)
  /// `PG_anon_exclusive`: an anonymous page of one mapping alone, which may be written in place.
  static let exclusive = PageFlags(rawValue: 1 << 7)
  /// `PG_reserved`: the zero page.
  static let reserved = PageFlags(rawValue: 1 << 8)
  /// Device memory of either kind, once handed out.
  static let device = PageFlags(rawValue: 1 << 9)
  /// With `device`: the CPU can't reach the bytes.
  static let devicePrivate = PageFlags(rawValue: 1 << 10)
  /// A system page in the free list, or a device page in the driver's hands.
  static let free = PageFlags(rawValue: 1 << 11)
  /// In the page cache of a file, which holds a reference.
  static let pageCache = PageFlags(rawValue: 1 << 12)
  /// With `pageCache`: of shared memory, not of a file on a disk (`PG_swapbacked`).
  static let sharedMemory = PageFlags(rawValue: 1 << 13)
  /// A driver's page that it put into a mapping of its own (`vm_insert_page`).
  static let inserted = PageFlags(rawValue: 1 << 14)
  /// A part of a huge page that belongs to the hugetlb pool; the first part counts its users.
  static let hugetlb = PageFlags(rawValue: 1 << 15)
  /// The lock was taken on its own, and its holder is listed (``MemoryManager/lockHolders``).
  static let lockListed = PageFlags(rawValue: 1 << 27)

  /// `PG_swapcache`: swap space holds the same bytes, or will once they are written.
  static let swapCache = PageFlags(rawValue: 1 << 16)
  /// `PG_mlocked`: a mapping of it is locked in memory; reclaim leaves the page alone.
  static let mlocked = PageFlags(rawValue: 1 << 17)
  /// `PG_hwpoison`: the page's memory is broken; it is never handed out again.
  static let hwPoison = PageFlags(rawValue: 1 << 18)
  /// Dropped by reclaim instead of swapped out, unless written (not `PG_swapbacked`).
  static let lazyFree = PageFlags(rawValue: 1 << 19)

  /// What has to be looked at when a mapping goes.
  static let watchesUnmap: PageFlags = [.swapCache, .mlocked, .large]

  /// What moves to the destination of a migration.
  static let migrating: PageFlags = [.dirty, .referenced, .uptodate, .lazyFree]
}

/// The anonymous region or the file that a page belongs to and its place there (`mapping` and
/// `index`).
struct AnonymousPlace: BitwiseCopyable, Hashable {
  /// Bit 63: a file. Region or file number above bit 36, page index below; numbers start at 1.
  let rawValue: UInt64

  static let none = AnonymousPlace(rawValue: 0)
  static let regionLimit = 1 << 27

  @inline(__always)
  init(rawValue: UInt64) { self.rawValue = rawValue }

  @inline(__always)
  init(region: Int, index: UInt64) { rawValue = UInt64(region) << 36 | index }

  init(file: Int, index: UInt64) { rawValue = 1 << 63 | UInt64(file) << 36 | index }

  /// Whether the page is anonymous (`PageAnon`): one test, as for an empty place.
  @inline(__always)
  var isAnonymous: Bool { Int64(bitPattern: rawValue) > 0 }
  /// Whether the page is a file's.
  @inline(__always)
  var isFile: Bool { Int64(bitPattern: rawValue) < 0 }
  /// The number of the region, or of the file.
  @inline(__always)
  var region: Int { Int(rawValue >> 36) & (Self.regionLimit - 1) }
  /// The linear page index: the virtual page number at which the region was first mapped.
  @inline(__always)
  var index: UInt64 { rawValue & (1 << 36 - 1) }
}
