public import Base
public import DMAFence
import KernelRuntime
public import LinuxMM

/// A driver of device-private memory whose device is a piece of host memory and a copying thread.
///
/// It has the three paths that every such driver has: to the device, back on a CPU fault, and back
/// for teardown. Each collects, copies, waits for its fence, and only then commits.
public final class MemcpyDriver {
  private let mm: MemoryManager
  private let kernel: Kernel
  public let copies: CopyThread
  public let pagemap: DevicePagemap
  private let owner = PagemapOwner("memcpy")
  private let lock = SpinLock("memcpy free list")
  private var free: [PFN]

  /// Pages in use.
  public var pagesInUse: Int { pagemap.range.count - free.count }

  /// Takes `pages` pages of address space and as much memory; takes all back when a step fails.
  public init(_ mm: MemoryManager, _ contexts: FenceContexts, pages: Int) throws(KernelError) {
    self.mm = mm
    kernel = mm.kernel
    let memory = try MappedMemory(count: pages * PageSize.bytes)
    let range = try mm.requestFreeMemRegion(
      bytes: UInt64(pages * PageSize.bytes), name: "memcpy")
    let operations = Operations()
    pagemap = DevicePagemap(
      kind: .devicePrivate, range: range, owner: owner, operations: operations)
    copies = CopyThread(mm.kernel, host: mm.ram, device: memory, contexts)
    free = (0..<pages).reversed().map { range.start + $0 }
    do throws(KernelError) {
      try mm.memremap(pagemap)
    } catch {
      mm.releaseMemRegion(range)
      throw error
    }
    operations.driver = self
  }

  /// Moves what can be moved of a range, which lies in one mapping; the pages that moved.
  public func migrateToDevice(
    _ space: AddressSpace, _ range: VirtualRange
  ) async throws(KernelError) -> Int {
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    var moved = 0
    try await space.withMigration(
      MigrationRequest(range, owner: owner, select: .system), MigrationBuffers(pages: range.pages),
      copy: { (pages: borrowing CollectedPages) async throws(KernelError) in
        try await copy(planToDevice(pages))
      },
      committed: { pages, _ in
        moved = (0..<pages.count).count { pages[source: $0].migrates }
      })
    return moved
  }

  private func planToDevice(_ pages: borrowing CollectedPages) -> [CopyThread.Copy] {
    var plan: [CopyThread.Copy] = []
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let page = lock.withLock({ free.popLast() }) else { break }
      mm.initDevicePage(page)
      // A hole has no source: its page is cleared.
      let source = pages[source: index].pfn.map { $0.index * PageSize.bytes }
      plan.append(
        CopyThread.Copy(
          source: source.map { (.host, $0) }, destination: (.device, offset(page)),
          length: PageSize.bytes))
      pages[destination: index] = MigratePFN(page)
    }
    return plan
  }

  /// Brings a page back that a CPU touched.
  fileprivate func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
    let request = MigrationRequest(
      VirtualRange(start: fault.address, pages: 1), owner: owner, select: .devicePrivate,
      faultPage: fault.page)
    do throws(KernelError) {
      try await fault.space.withMigration(
        request, MigrationBuffers(pages: 1),
        copy: { (pages: borrowing CollectedPages) async throws(KernelError) in
          try await copy(planToRAM(pages))
        },
        committed: { _, _ in })
      return .done
    } catch {
      return error == .ENOMEM ? .outOfMemory : .sigbus(error)
    }
  }

  private func planToRAM(
    _ pages: borrowing CollectedPages
  ) throws(KernelError) -> [CopyThread.Copy] {
    var plan: [CopyThread.Copy] = []
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let source = pages[source: index].pfn else { continue }
      let page = try mm.allocateLockedRun(upTo: 1).start
      pages[destination: index] = MigratePFN(page)
      plan.append(
        CopyThread.Copy(
          source: (.device, offset(source)), destination: (.host, page.index * PageSize.bytes),
          length: PageSize.bytes))
    }
    return plan
  }

  /// Carries a plan out. When this throws, no byte moves any more.
  private func copy(_ plan: [CopyThread.Copy]) async throws(KernelError) {
    if plan.isEmpty { return }
    let fence = try copies.submit(plan)
    _ = await fence.wait()
    if case .failed(let error) = fence.status { throw error }
  }

  /// Brings everything back and gives the device's address space up. `EBUSY` while others hold
  /// pages, or the error of a copy; the driver then works on, and may be asked again.
  public func shutdown() async throws(KernelError) {
    let buffers = MigrationBuffers(pages: pagemap.range.count)
    var tries = 0
    while pagesInUse > 0 {
      guard tries < 10 else { throw .EBUSY }
      tries += 1
      try await evictOnce(buffers)
      if pagesInUse > 0 { await kernel.sleep(1_000 << UInt64(tries)) }
    }
    await mm.memunmap(pagemap)
    mm.releaseMemRegion(pagemap.range)
    copies.stop()
  }

  private func evictOnce(_ buffers: MigrationBuffers) async throws(KernelError) {
    let pages = await mm.migrateDeviceSetup(pagemap.range, buffers)
    do throws(KernelError) {
      try await copy(planToRAM(pages))
    } catch {
      // Destinations that were set are unlocked and put; the pages stay on the device.
      pages.abandon()
      throw error
    }
    await pages.commit().finalize()
  }

  private func offset(_ page: PFN) -> Int {
    (page.index - pagemap.range.start.index) * PageSize.bytes
  }

  /// What the core calls; apart from the driver, which the core doesn't keep alive.
  private final class Operations: DevicePagemapOperations {
    weak var driver: MemcpyDriver?

    func pageFree(_ pfn: PFN) {
      guard let driver else { return }
      driver.lock.withLock { driver.free.append(pfn) }
    }

    func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
      await driver?.migrateToRAM(fault) ?? .sigbus(.ENODEV)
    }
  }
}
