public import Base
public import KernelRuntime

/// How much memory a machine has.
public struct MemoryConfiguration: Hashable, Sendable {
  /// Bytes of RAM; rounded up to whole pages.
  public var ramBytes: Int
  /// Physical address space for device memory, beyond RAM; costs nothing until used.
  public var devicePhysicalBytes: UInt64
  /// CPUs, each with an LRU batch of its own; a task runs on the CPU of its number.
  public var cpus: Int
  /// When faults use huge pages; can be changed later (``MemoryManager/hugePages``).
  public var hugePages: HugePagePolicy
  /// Slots of swap space, one page each; none by default, and then nothing is swapped out.
  public var swapPages: Int
  /// Nanoseconds that reading or writing one slot takes.
  public var swapLatency: UInt64 = 0
  /// Whether a process is killed when memory runs out and nothing can be reclaimed; without, the
  /// access that found no memory fails.
  public var killsWhenOutOfMemory = false

  public init(
    ramBytes: Int, devicePhysicalBytes: UInt64 = 64 << 30, cpus: Int = 4,
    hugePages: HugePagePolicy = .never, swapPages: Int = 0
  ) {
    self.ramBytes = ramBytes
    self.devicePhysicalBytes = devicePhysicalBytes
    self.cpus = cpus
    self.hugePages = hugePages
    self.swapPages = swapPages
  }
}

/// The memory management of one machine: its pages, their metadata, device memory, processes.
///
/// Page `p` of RAM has its bytes at `p * 4096` of ``ram``; page 0 is the shared page of zeroes.
/// Device memory lies above RAM in the same flat space of frame numbers.
public final class MemoryManager {
  public let kernel: Kernel
  /// The bytes of every system page.
  public let ram: MappedMemory
  public let configuration: MemoryConfiguration
  /// The first frame of device memory; frames below ``systemPages`` are RAM.
  public let devicePages: PFNRange

  let metadata: MappedMemory
  /// Where the page records begin in `metadata`, in bytes.
  let recordsOffset: Int
  let failures: FailurePlan
  let pages: FlatView<PageRecord>
  let frames: FrameAllocator
  let lru: LRUList
  let tables: PageTablePool
  var devices = DeviceRegions()
  var anonymousRegions: [AnonymousRegion?] = [nil]
  var files: [MappedFile?] = [nil]
  var hugetlb = HugetlbPool()
  /// When faults use huge pages (`/sys/kernel/mm/transparent_hugepage/enabled`).
  public var hugePages: HugePagePolicy {
    get { hugePolicy }
    set { hugePolicy = newValue }
  }
  // Internal storage, as for the counters: each fault looks at it.
  var hugePolicy: HugePagePolicy
  var huge = HugePageState()
  /// Counts of huge pages (`thp_*` of `/proc/vmstat`).
  public var hugeCounters: HugePageCounters { huge.tally }
  var pageWaiters: [WaitQueue?] = []
  /// Page locks that were taken one by one, in order, with who took them.
  var lockHolders: [(pfn: Int, task: Runnable)] = []
  /// Migrations between setup and finalize, in order of setup.
  var activeMigrations: [MigrationBuffers] = []
  /// Swap space; nil without.
  var swap: SwapArea?
  /// Limits of groups of processes; nil until the first group is made.
  var groups: MemoryGroups?
  /// Whether a page was ever marked for lazy freeing: without one, and without swap space, there
  /// is nothing to reclaim.
  var hasLazyPages = false
  /// The processes that have not exited, in order of creation.
  public internal(set) var addressSpaces: [AddressSpace] = []
  // Internal storage behind a public getter: then the compiler proves the hot paths' accesses to be
  // exclusive, instead of checking each at run time.
  var tally = MachineCounters()
  /// Page-lock waits, drains and other counts of the whole machine.
  public var counters: MachineCounters { tally }

  /// The shared page of zeroes (`ZERO_PAGE(0)`).
  public static let zeroPage = PFN(0)

  /// Where the host's memory comes from; nil for mappings of its own.
  let supply: MemorySupply?

  /// `EINVAL` for no RAM or no CPU; `ENOMEM` when the host refuses the address space.
  public init(
    _ kernel: Kernel, _ configuration: MemoryConfiguration, from supply: MemorySupply? = nil
  ) throws(KernelError) {
    guard configuration.ramBytes > 0, configuration.cpus > 0 else { throw .EINVAL }
    self.kernel = kernel
    self.supply = supply
    failures = kernel.failures
    self.configuration = configuration
    hugePolicy = configuration.hugePages
    ram = try MappedMemory(count: configuration.ramBytes, from: supply)
    let systemPages = ram.count >> PageSize.shift
    let deviceStart = (systemPages + 511) & ~511
    let devicePageCount = Int(configuration.devicePhysicalBytes >> UInt64(PageSize.shift))
    devicePages = PFNRange(start: PFN(UInt64(deviceStart)), count: devicePageCount)
    // LRU links are 32 bits wide and only system pages are on the LRU.
    guard systemPages < 1 << 32 else { throw .EINVAL }
    let pageCount = deviceStart + devicePageCount
    let recordBytes =
      (pageCount * MemoryLayout<PageRecord>.stride + PageSize.bytes - 1) & ~(PageSize.bytes - 1)
    // Enough for every system page to be mapped alone in a table of its own, and for device memory
    // to be mapped densely twice. Not more: the host takes longer to unmap a larger range.
    let tableCount = 4096 + systemPages + 2 * (pageCount >> PageTablePool.tableShift)
    // Tables first, handed out from the top down: so the first tables and the first records are
    // neighbours, and a small machine touches little of the host's page tables.
    recordsOffset = tableCount << PageSize.shift
    metadata = try MappedMemory(count: recordsOffset + recordBytes, from: supply)
    tables = PageTablePool(metadata, at: 0, tables: tableCount)
    pages = FlatView(metadata, at: recordsOffset, count: pageCount)
    frames = FrameAllocator(pages, limit: systemPages)
    lru = LRUList(pages, frames, cpus: configuration.cpus)
    pages[0].flags = [.reserved, .uptodate]
    pages[0].references = 1
    if configuration.swapPages != 0 { try swapOn(pages: configuration.swapPages) }
    // Not weakly: every retain of an object that was ever referenced weakly takes a detour.
    kernel.pageLockHolder = { [unowned self] pfn in runnable(holding: Int(pfn)) }
  }

  deinit {
    kernel.pageLockHolder = nil
    // Tables and records are written through views, which the memory doesn't see.
    willWriteRecords(0..<frames.untouched)
    metadata.willWrite(
      at: tables.untouched << PageSize.shift,
      length: (recordsOffset - tables.untouched << PageSize.shift))
  }

  /// Cuts the references by which processes, their mirrors, mappings and files keep each other
  /// alive, for a machine that goes as it stands. Nothing may be used afterwards.
  package func abandon() {
    for space in addressSpaces { space.abandon() }
    for case let region? in anonymousRegions { region.abandon() }
    for case let file? in files { file.abandon() }
    lockHolders = []
  }

  /// Gives the host's memory back, after ``abandon()``, where something can still lead here.
  package func discard() {
    ram.discard()
    metadata.discard()
  }

  /// Says that records of pages were or will be written (``MappedMemory/willWrite(at:length:)``).
  func willWriteRecords(_ range: Range<Int>) {
    let stride = MemoryLayout<PageRecord>.stride
    metadata.willWrite(at: recordsOffset + range.lowerBound * stride, length: range.count * stride)
  }

  /// Pages of RAM.
  public var systemPages: Int { frames.limit }
  /// Pages of RAM that can still be had.
  public var freeSystemPages: Int { frames.available }
  /// Page-table pages in use.
  public var pageTables: Int { tables.used }

  /// A new process without mappings.
  public func createAddressSpace(_ name: String) throws(KernelError) -> AddressSpace {
    try kernel.failures.check(.pageTableAlloc)
    guard let root = tables.take() else { throw .ENOMEM }
    let space = AddressSpace(self, name, root: root)
    addressSpaces.append(space)
    return space
  }

  /// The CPU that runs now.
  @inline(__always)
  var currentCPU: Int {
    guard let id = kernel.current?.id else { return 0 }
    return id % lru.cpus
  }
}

/// Counts of the whole machine.
public struct MachineCounters: Hashable, Sendable {
  /// Sleeps for a page lock.
  public var pageLockWaits: UInt64 = 0
  /// Sleeps on a migration entry.
  public var migrationEntryWaits: UInt64 = 0
  /// `lru_add_drain_all` calls.
  public var fullDrains: UInt64 = 0
  /// Device pages handed out.
  public var devicePageInits: UInt64 = 0
  /// Device pages given back to their driver.
  public var devicePageFrees: UInt64 = 0
  /// Pages collected by migrations, without empty places.
  public var migrationsCollected: UInt64 = 0
  /// Pages and empty places moved by migrations.
  public var migrationsCommitted: UInt64 = 0
  /// Pages written to swap space (`pswpout`).
  public var swapWrites: UInt64 = 0
  /// Pages read from swap space (`pswpin`).
  public var swapReads: UInt64 = 0
  /// Pages freed by reclaim (`pgsteal`).
  public var pagesReclaimed: UInt64 = 0
  /// Allocations that had to reclaim (`allocstall`).
  public var directReclaims: UInt64 = 0
  /// Processes killed for their memory (`oom_kill`).
  public var kills: UInt64 = 0
}
