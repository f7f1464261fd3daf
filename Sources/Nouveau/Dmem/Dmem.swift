package import Base
import KernelRuntime
package import LinuxMM

/// Device private memory: pages of processes that live in VRAM while the host keeps a `struct page`
/// and a page-table entry for each.
///
/// The four paths, each in a file of its own:
/// - `Dmem+Chunks.swift`: chunks of VRAM and their pages;
/// - `Dmem+MigrateToRAM.swift`: a CPU fault brings a page back;
/// - `Dmem+MigrateToDevice.swift`: bulk migration of a range, in batches;
/// - `Dmem+Evict.swift`: everything comes back, for teardown.
///
/// The order that all of them keep, and which loses nothing: collect, stop the GPU's use of the
/// source, copy, *wait for the fence*, drop the destination of every page whose copy did not
/// complete, commit, map on the GPU what did move, finalize.
///
/// Kernel: struct nouveau_dmem (nouveau_dmem.c)
package final class Dmem {
  let device: NVKMDevice
  let buffers: BufferManager
  /// The copy engine's channel; privileged, because device pages have physical addresses only.
  let channel: Channel
  let kernel: Kernel
  package let mm: MemoryManager
  /// The processes that use the device; set once at bring-up.
  let processes: SVMTable
  /// Marks our device pages; other drivers' pages are never taken.
  package let owner: PagemapOwner
  package var policy: DmemPolicy
  package internal(set) var counters = DmemCounters()

  /// Serializes making and returning chunks. Kernel: nouveau_dmem.mutex
  let chunkMutex: SleepingLock
  /// Protects the chunk table, its counts and reservations. Kernel: nouveau_dmem.lock
  let lock = SpinLock("dmem lock")
  /// In order of creation.
  package internal(set) var chunks: [DmemChunk] = []
  /// By the chunk's number among 2 MiB blocks of physical address space.
  var chunkByBlock: [UInt64: DmemChunk] = [:]
  /// Free pages promised to migrations in progress.
  var reservedPages = 0
  /// Free pages in all chunks; kept so that a reservation costs the same with any number of chunks.
  var freePages = 0
  /// Where the search for a free page begins.
  var firstWithSpace = 0
  /// The driver takes everything off the device: no chunk may be made any more, and nobody waits
  /// for a device that sleeps.
  package internal(set) var isClosed = false
  /// False between suspend and resume: whoever needs the device sleeps on `activity`.
  package internal(set) var isActive = true
  /// Why the last resume failed: while it stands, nobody waits for the device.
  var resumeError: KernelError?
  /// Migrations in progress; a suspend sleeps on `activity` until there is none.
  var operations = 0
  let activity: WaitQueue
  /// Gives surplus empty chunks back, outside the atomic context in which they become empty.
  let housekeeping: WorkQueue
  private(set) lazy var trimWork = Work("dmem trim") { [unowned self] in
    _ = await trim(keeping: policy.emptyChunksKept)
  }
  /// Scratch of bulk migrations; taken for one migration and returned, so that steady use allocates
  /// nothing.
  var spareScratch: [MigrationScratch] = []
  /// The machine's other GPUs, and the window that they reach this one's memory through; nil in a
  /// machine with one.
  var peerGroup: PeerGroup?
  var bar1: BAR1?

  #if DEBUG
    /// The defect that a test has put back.
    package var defect: Defect?
  #endif

  /// Kernel: nouveau_dmem_init
  package init(
    _ device: NVKMDevice, _ buffers: BufferManager, _ channel: Channel, _ mm: MemoryManager,
    _ processes: SVMTable, policy: DmemPolicy = DmemPolicy()
  ) {
    self.device = device
    self.buffers = buffers
    self.channel = channel
    self.mm = mm
    self.processes = processes
    self.policy = policy
    kernel = device.kernel
    // A batch is one submission, so all its launches have to fit the push buffer at once.
    let launchDwords = max(device.chip.copyMethods.copyDwords, device.chip.copyMethods.clearDwords)
    let fitting = (channel.ring.maximumDwords - FenceContext.dwords) / launchDwords
    self.policy.batchPages = min(policy.batchPages, fitting)
    if fitting < DmemChunk.pages { self.policy.hugeFolios = false }
    owner = PagemapOwner(device.named("nouveau"))
    chunkMutex = SleepingLock(kernel, .dmem)
    activity = WaitQueue(kernel, device.named("nouveau dmem resume"))
    housekeeping = WorkQueue(kernel, device.named("dmem"))
  }

  /// The chunk that a device page belongs to; nil for a page of another driver or of RAM.
  package func chunk(of page: PFN) -> DmemChunk? {
    guard let chunk = chunkByBlock[page.rawValue / UInt64(DmemChunk.pages)] else { return nil }
    return page >= chunk.range.start ? chunk : nil
  }

  /// Begins an operation that needs the device; sleeps while it is suspended, and throws the error
  /// of a resume that failed.
  func beginOperation() async throws(KernelError) {
    try await waitUntilAwake()
    operations += 1
  }

  /// Takes a process's mmap lock for reading, then begins an operation.
  ///
  /// The device is waited for without the lock, and the lock without an operation: a fault that
  /// waits for the resume holds the lock, whoever wants it for writing keeps others from it, and
  /// the suspend waits for operations.
  func beginOperation(locking space: AddressSpace) async throws(KernelError) {
    while true {
      try await waitUntilAwake()
      await space.mmapLock.lockShared()
      if isActive { break }
      space.mmapLock.unlockShared()
    }
    operations += 1
  }

  /// Whether the device is suspended, or on the way there, and may still be woken.
  var isAsleep: Bool { !isActive && resumeError == nil }

  /// Sleeps while the device is suspended; throws the error of a resume that failed, or `ENODEV`
  /// when the driver leaves the device asleep.
  func waitUntilAwake() async throws(KernelError) {
    if !isActive { await activity.wait { isActive || resumeError != nil || isClosed } }
    if !isActive { throw resumeError ?? .ENODEV }
  }

  /// Ends an operation begun with ``beginOperation()``.
  func endOperation() {
    operations -= 1
    if operations == 0 { activity.wakeAll() }
  }

  /// Sleeps until no operation is in progress.
  func waitForOperations() async { await activity.wait { operations == 0 } }

  /// The driver is going: whoever waits for the device, or asks for it later, gets `ENODEV`.
  func leave() {
    isActive = false
    resumeFailed(.ENODEV)
  }

  /// Pages of this driver in use, over all chunks.
  package var pagesInUse: Int { chunks.reduce(0) { $0 + $1.inUse } }
}
