public import Base

/// A place that can fail in the kernel or the device, and so fails here on request.
public struct InjectionPoint: Hashable, Sendable {
  // Trivial fields only: a point is passed once or more for every page that migrates, and copying
  // strings and arrays there would cost more than the page's whole bookkeeping.
  private let nameText: StaticString
  private let summaryText: StaticString
  private let usualError: KernelError?
  private let otherError: KernelError?
  let slot: Int

  /// As written in scenarios and reports, such as `mm.page_alloc`.
  public var name: String { "\(nameText)" }
  /// The errors that the place can give; the first is the usual one. Empty for a device fault that
  /// is no error code, such as a lost interrupt.
  public var errors: [KernelError] { [usualError, otherError].compactMap(\.self) }
  /// One line for tables and help.
  public var summary: String { "\(summaryText)" }

  /// Slots 0..<48 belong to the table below; a driver of somebody else's uses ``custom``.
  private init(
    _ slot: Int, _ name: StaticString, _ errors: [KernelError], _ summary: StaticString
  ) {
    invariant(errors.count <= 2, "injection point \(name) lists more than two errors")
    self.slot = slot
    nameText = name
    summaryText = summary
    usualError = errors.first
    otherError = errors.dropFirst().first
  }

  /// A point of one's own; `index` is 0..<16 and distinguishes the points of one driver.
  public static func custom(
    _ index: Int, _ name: StaticString, _ errors: [KernelError], _ summary: StaticString
  ) -> InjectionPoint {
    invariant((0..<16).contains(index), "custom injection point \(index) is not in 0..<16")
    return InjectionPoint(48 + index, name, errors, summary)
  }

  static let slots = 64

  public static func == (a: InjectionPoint, b: InjectionPoint) -> Bool { a.slot == b.slot }
  public func hash(into hasher: inout Hasher) { hasher.combine(slot) }
}

// The table. A new point gets the next slot, a row in `all`, and a test that shows it firing.
extension InjectionPoint {
  public static let pageAlloc = InjectionPoint(
    0, "mm.page_alloc", [.ENOMEM], "a system page can't be had")
  public static let pageTableAlloc = InjectionPoint(
    1, "mm.page_table_alloc", [.ENOMEM], "a page-table page can't be had")
  public static let pageLock = InjectionPoint(
    2, "mm.page_lock", [.EAGAIN], "a tried page lock is held by another")
  public static let migrateCollect = InjectionPoint(
    3, "mm.migrate_collect", [.EBUSY], "a page can't be isolated for migration")
  public static let migrateCommit = InjectionPoint(
    4, "mm.migrate_commit", [.EAGAIN], "the commit step refuses a page")
  public static let notifierInsert = InjectionPoint(
    5, "mm.notifier_insert", [.ENOMEM], "an interval notifier can't be registered")
  public static let memremap = InjectionPoint(
    6, "mm.memremap_pages", [.ENOMEM, .EINVAL], "struct pages of device memory can't be made")
  public static let memRegion = InjectionPoint(
    7, "mm.request_free_mem_region", [.EBUSY, .ENOMEM], "no free physical address range")
  public static let hmmRetry = InjectionPoint(
    8, "mm.hmm_retry", [.EBUSY], "a notifier moved the sequence during hmm_range_fault")
  public static let userCopyAlloc = InjectionPoint(
    9, "mm.kmalloc", [.ENOMEM], "the scratch arrays of a migration can't be had")
  public static let dmaMap = InjectionPoint(
    12, "dma.map", [.EIO, .ENOMEM], "a page can't be mapped for the device")
  public static let dmaAllocCoherent = InjectionPoint(
    13, "dma.alloc_coherent", [.ENOMEM], "coherent memory can't be had")
  public static let peerMap = InjectionPoint(
    14, "dma.map_peer", [.EREMOTEIO, .ENOMEM], "another GPU's page can't be mapped for the device")
  public static let peerWindow = InjectionPoint(
    15, "nouveau.peer_window", [.ENOSPC, .ENOMEM], "a chunk can't be put into BAR1 for other GPUs")
  public static let vramAlloc = InjectionPoint(
    16, "nouveau.vram_alloc", [.ENOMEM, .ENOSPC], "no VRAM for a buffer object")
  public static let bufferPin = InjectionPoint(
    17, "nouveau.bo_pin", [.ENOMEM, .EBUSY], "a buffer object can't be pinned")
  public static let ringSpace = InjectionPoint(
    18, "nouveau.ring_space", [.EBUSY], "the push buffer or the GPFIFO stays full")
  public static let fenceAlloc = InjectionPoint(
    19, "nouveau.fence_new", [.ENOMEM], "a fence can't be made")
  public static let fenceEmit = InjectionPoint(
    20, "nouveau.fence_emit", [.ENODEV, .EBUSY], "a fence can't be emitted into the channel")
  public static let copySubmit = InjectionPoint(
    21, "nouveau.copy_submit", [.EIO, .EBUSY], "a copy can't be put into the push buffer")
  public static let gpuPageTable = InjectionPoint(
    22, "nouveau.gpu_page_table", [.ENOMEM], "a GPU page-table page can't be had")
  public static let firmwareLoad = InjectionPoint(
    23, "nouveau.request_firmware", [.ENOENT, .EINVAL], "a firmware image can't be loaded")
  public static let fileRead = InjectionPoint(
    24, "mm.file_read", [.EIO], "a page of a file can't be read from the disk")
  public static let fileWrite = InjectionPoint(
    25, "mm.file_write", [.EIO], "a dirty page of a file can't be written to the disk")
  public static let swapRead = InjectionPoint(
    26, "mm.swap_read", [.EIO], "a page can't be read from swap space")
  public static let swapWrite = InjectionPoint(
    27, "mm.swap_write", [.EIO], "a page can't be written to swap space")
  public static let groupCharge = InjectionPoint(
    28, "mm.memcg_charge", [.ENOMEM], "a group of processes can't be charged for a page")
  public static let hugeAlloc = InjectionPoint(
    30, "mm.huge_page_alloc", [.ENOMEM], "a huge page can't be had")
  public static let folioSplit = InjectionPoint(
    31, "mm.split_folio", [.EAGAIN], "a huge page can't be split into pages")
  public static let fenceStall = InjectionPoint(
    32, "gpu.fence_stall", [], "a semaphore release is never written")
  public static let fenceLate = InjectionPoint(
    33, "gpu.fence_late", [], "a semaphore release comes after the driver's time-out")
  public static let fenceWrongValue = InjectionPoint(
    34, "gpu.fence_wrong_value", [], "a semaphore release writes a wrong value")
  public static let interruptLost = InjectionPoint(
    35, "gpu.irq_lost", [], "an interrupt is lost")
  public static let interruptEarly = InjectionPoint(
    36, "gpu.irq_early", [], "an interrupt comes before the semaphore store is visible")
  public static let copyError = InjectionPoint(
    37, "gpu.copy_error", [], "the copy engine reports LAUNCHERR and moves nothing")
  public static let copyFault = InjectionPoint(
    38, "gpu.copy_fault", [], "the copy engine takes an MMU fault half-way")
  public static let pbdmaError = InjectionPoint(
    39, "gpu.pbdma_error", [], "the PBDMA stops on a bad method")
  public static let engineHang = InjectionPoint(
    40, "gpu.engine_hang", [], "an engine stops making progress")
  public static let eccPoison = InjectionPoint(
    41, "gpu.ecc_poison", [], "VRAM returns poisoned data")
  public static let deviceLost = InjectionPoint(
    42, "gpu.device_lost", [], "the device falls off the bus")
  public static let interruptStorm = InjectionPoint(
    43, "gpu.irq_storm", [], "an interrupt is raised many times over")

  /// Every point of the table, by slot.
  public static let all: [InjectionPoint] = [
    .pageAlloc, .pageTableAlloc, .pageLock, .migrateCollect, .migrateCommit, .notifierInsert,
    .memremap, .memRegion, .hmmRetry, .userCopyAlloc, .swapRead, .swapWrite, .groupCharge,
    .dmaMap, .dmaAllocCoherent, .peerMap, .peerWindow, .vramAlloc, .bufferPin, .ringSpace,
    .fenceAlloc, .fenceEmit,
    .copySubmit, .gpuPageTable, .firmwareLoad, .hugeAlloc, .folioSplit, .fileRead, .fileWrite,
    .fenceStall, .fenceLate, .fenceWrongValue, .interruptLost, .interruptEarly, .copyError,
    .copyFault, .pbdmaError, .engineHang, .eccPoison, .deviceLost, .interruptStorm,
  ]

  /// The point of the table with this name.
  public init?(name: String) {
    guard let found = Self.all.first(where: { $0.name == name }) else { return nil }
    self = found
  }
}
