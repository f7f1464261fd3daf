public import Base
public import LinuxMM

/// An open device, as one process has it: what its file descriptor stands for.
///
/// Kernel: struct nouveau_cli with its svm (nouveau_drv.h), the ioctls of nouveau_svm.c
public final class SVMContext {
  private let svm: SVM
  private let svmm: SVMM

  init(_ svm: SVM, _ svmm: SVMM) {
    self.svm = svm
    self.svmm = svmm
  }

  /// The context's instance block; what runs on the GPU for this process is bound to it.
  public var instanceAddress: VRAMAddress { svmm.instanceAddress }

  /// Sleeps while the device is suspended, as a submission does; throws the error of a resume that
  /// failed. Kernel: nouveau_drm_ioctl (nouveau_drm.c)
  public func waitUntilAwake() async throws(KernelError) { try await svm.dmem.waitUntilAwake() }

  /// Runs `body`, in which work of the process is on the GPU: the driver knows, since it came
  /// through a submission. ``close()`` waits for its end.
  public func run<T>(_ body: () async -> T) async -> T { await svm.run(of: svmm, body) }

  /// Moves what can be moved of a range to the device. `EINVAL` when a part isn't mapped or an end
  /// isn't page aligned; nothing has moved then. With `explains` the result says why pages stayed.
  /// Kernel: nouveau_svmm_bind
  public func migrateToDevice(
    _ range: VirtualRange, explains: Bool = false
  ) async throws(KernelError) -> MigrationResult {
    if svm.dmem.hasPeers {
      return try await svm.dmem.migrateFromAnywhere(svmm, range, explains: explains)
    }
    return try await svm.dmem.migrateToDevice(svmm, range, explains: explains)
  }

  /// Why the page at `address` would stay where it is, were it asked to go to the device now; nil
  /// when nothing speaks against it. Changes nothing.
  public func why(_ address: VirtualAddress) -> MigrationReason? {
    svmm.space.why(address, select: .system, owner: svmm.owner)
  }

  /// Brings back what of a range lives on the device; the number of pages. `EINVAL` as above, or
  /// the error of the first page that couldn't come.
  public func migrateToRAM(_ range: VirtualRange) async throws(KernelError) -> Int {
    try await svm.dmem.migrateToRAM(svmm.space, range)
  }

  /// As ``migrateToRAM(_:)``; the result has the error, and says why pages stayed.
  public func explainedMigrateToRAM(
    _ range: VirtualRange
  ) async throws(KernelError) -> MigrationResult {
    try await svm.dmem.bringToRAM(svmm.space, range, explains: true)
  }

  /// The GPU's translation of an address.
  public func translation(of address: VirtualAddress) -> DeviceTranslation {
    let entry = svmm.gpuSpace.entry(at: GPUVirtualAddress(address.rawValue))
    if let vram = entry.vramAddress { return .vram(vram, writable: entry.isWritable) }
    if let bus = entry.hostAddress { return .host(bus, writable: entry.isWritable) }
    return .none
  }

  /// Closes the device for the process; what it runs on the GPU ends first.
  /// Kernel: nouveau_svmm_fini
  public func close() async { await svm.unbind(svmm) }
}

/// What a GPU page table says of a page.
public enum DeviceTranslation: Hashable, Sendable {
  case none
  case vram(VRAMAddress, writable: Bool)
  case host(DMAAddress, writable: Bool)
}

extension SVM {
  /// Opens the device for a process; sleeps while it is suspended, and throws the error of a resume
  /// that failed. Kernel: nouveau_svmm_init
  public func open(_ space: AddressSpace) async throws(KernelError) -> SVMContext {
    try await dmem.waitUntilAwake()
    return SVMContext(self, try await bind(space))
  }

  /// What device memory has done.
  public var dmemCounters: DmemCounters { dmem.counters }
  /// Device pages in use.
  public var devicePagesInUse: Int { dmem.pagesInUse }
  /// Chunks that exist.
  public var chunkCount: Int { dmem.chunks.count }

  /// Gives empty chunks back beyond the first `kept`; how many.
  public func trim(keeping kept: Int) async -> Int { await dmem.trim(keeping: kept) }
}
