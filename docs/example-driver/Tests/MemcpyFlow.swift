import Base
import DMAFence
import ExampleDriver
import KernelRuntime
import LinuxMM
import NouveauTestKit

/// Two processes' pages go to the device and back, by calls, by faults, and by teardown at the end,
/// in whatever order the kit chooses; every byte is compared with what was written.
struct MemcpyFlow: Flow {
  let name = "memcpy driver"
  let points: [InjectionPoint] = [
    .pageAlloc, .pageTableAlloc, .pageLock, .migrateCollect, .migrateCommit, .memRegion, .memremap,
    CopyThread.badCopy, CopyThread.queueFull,
  ]

  static let pages = 4

  func run(_ run: FlowRun) throws {
    let kernel = run.kernel
    let mm = try MemoryManager(
      kernel, MemoryConfiguration(ramBytes: 1 << 20, devicePhysicalBytes: 1 << 20))
    let driver = try MemcpyDriver(mm, FenceContexts(kernel), pages: Self.pages)
    run.canSignalFence { _, seqno in driver.copies.willSignal(seqno) }
    let world = World(mm, driver, run)
    try kernel.run("set-up") { await world.setUp() }
    world.spawn()
    for blocked in try kernel.runUntilIdle() { run.offend("blocked", "\(blocked)") }
    try kernel.run("end") { await world.finish() }
    run.audit(mm)
  }
}

private final class World {
  let mm: MemoryManager
  let driver: MemcpyDriver
  let run: FlowRun
  var space: AddressSpace?
  var start = VirtualAddress(0)
  /// For each page, the bytes that it may begin with: two while a store may have failed.
  var expected = [[UInt8]](repeating: [0], count: MemcpyFlow.pages)

  init(_ mm: MemoryManager, _ driver: MemcpyDriver, _ run: FlowRun) {
    self.mm = mm
    self.driver = driver
    self.run = run
  }

  var range: VirtualRange { VirtualRange(start: start, pages: MemcpyFlow.pages) }

  func setUp() async {
    do {
      let space = try mm.createAddressSpace("p")
      self.space = space
      start = try await space.map(bytes: UInt64(MemcpyFlow.pages * PageSize.bytes), .readWrite)
    } catch {
      run.returned("set-up", error)
    }
  }

  func spawn() {
    guard let space, start.rawValue != 0 else { return }
    run.task("mover") { [self] () throws(KernelError) in
      for _ in 0..<2 { _ = try await driver.migrateToDevice(space, range) }
    }
    run.task("writer") { [self] () throws(KernelError) in
      for page in 0..<MemcpyFlow.pages - 1 { try await store(space, page, UInt8(0x40 + page)) }
    }
    run.task("rewriter") { [self] () throws(KernelError) in
      try await store(space, MemcpyFlow.pages - 1, 0x77)
      try await store(space, MemcpyFlow.pages - 1, 0x78)
    }
  }

  private func store(_ space: AddressSpace, _ page: Int, _ value: UInt8) async throws(KernelError) {
    let before = expected[page]
    expected[page] = before + [value]
    do throws(AccessError) {
      try await space.store(start + page * PageSize.bytes, [value])
    } catch {
      switch error {
      case .sigbus(_, let reason): throw reason
      case .outOfMemory: throw .ENOMEM
      case .segv: throw .EFAULT
      }
    }
    expected[page] = [value]
  }

  /// Reads every byte, goes once more to the device, and tears down. What fails is tried again, as
  /// a user would; at the third time nothing is made to fail any more, and it has to work.
  func finish() async {
    guard let space else { return }
    if start.rawValue != 0 {
      for page in 0..<MemcpyFlow.pages {
        await insist("load") { [self] in
          let byte = try await space.load(start + page * PageSize.bytes, count: 1)[0]
          run.expect(
            expected[page].contains(byte), "bytes.lost",
            "page \(page) holds \(byte), expected one of \(expected[page])")
        }
      }
      await insist("migration") { [self] in _ = try await driver.migrateToDevice(space, range) }
    }
    await insist("shutdown") { [self] in try await driver.shutdown() }
    run.expect(driver.pagesInUse == 0, "device-pages.leaked", "\(driver.pagesInUse)")
    await space.exit()
  }

  private func insist(_ step: String, _ body: () async throws -> Void) async {
    for attempt in 1...3 {
      if attempt == 3 { run.failures.silence() }
      do {
        try await body()
        return
      } catch {
        run.returned(step, error as? KernelError ?? .EFAULT)
        if attempt == 3 { run.offend("end.failed", "\(step): \(error)") }
      }
    }
  }
}
