import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Teardown, suspend, lost devices, chunks that come and go.
@Suite struct LifeCycleTests {
  /// bugs.md N09: the driver goes while the process lives.
  @Test(arguments: Order.several)
  func unbind_bringsEverythingBack(order: Order) throws {
    try withBench(pages: 600, order: order) { bench in
      try await bench.fill(0..<600)
      _ = try await bench.process.migrateToDevice(bench.all)
      await bench.machine.unbindDriver()
      #expect(bench.onDevice(0..<600) == 0)
      #expect(await bench.damaged(0..<600) == [])
      // And it can be bound again.
      try await bench.machine.boot()
    }
  }

  /// bugs.md L06: a copy that fails during eviction is tried again.
  @Test(arguments: [InjectionPoint.copyError, .dmaMap, .fenceAlloc, .pageAlloc, .copySubmit])
  func eviction_survivesOneFailure(point: InjectionPoint) throws {
    try withBench(pages: 9) { bench in
      try await bench.fill(0..<9)
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(point, .nth(2))
      await bench.machine.unbindDriver()
      bench.machine.kernel.failures.disarm()
      #expect(await bench.damaged(0..<9) == [], "\(point.name)")
    }
  }

  @Test func suspendAndResume_keepDevicePages() throws {
    try withBench(pages: 40) { bench in
      try await bench.fill(0..<40)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      try await driver.suspend()
      #expect(bench.onDevice(0..<40) == 40)
      try await driver.resume()
      let seen = try await bench.process.deviceLoad(bench.address(7), count: PageSize.bytes)
      #expect(seen == Bench.pattern(7))
      #expect(await bench.damaged(0..<40) == [])
    }
  }

  @Test(arguments: (1...20).map { Order.random(seed: $0) })
  func faultDuringSuspend_waitsForResume(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      let reader = bench.machine.kernel.spawn("reader") {
        #expect(await bench.damaged(0..<4) == [], "\(order)")
      }
      try await driver.suspend()
      try await driver.resume()
      await reader.join()
    }
  }

  /// A resume that fails: who waits for the device is told, later accesses too, and once a resume
  /// succeeds the bytes are there.
  @Test(arguments: [Order.fifo] + (1...8).map { .random(seed: $0) })
  func resumeThatFails_endsTheWaits(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      try await driver.suspend()
      let reader = bench.machine.kernel.spawn("reader") {
        await #expect(throws: AccessError.sigbus(bench.address(1), .ENOMEM)) {
          _ = try await bench.process.space.load(bench.address(1), count: 1)
        }
      }
      bench.machine.kernel.failures.arm(.bufferPin, .nth(1))
      await #expect(throws: KernelError.ENOMEM) { try await driver.resume() }
      bench.machine.kernel.failures.disarm()
      await reader.join()
      await #expect(throws: AccessError.sigbus(bench.address(2), .ENOMEM)) {
        _ = try await bench.process.space.load(bench.address(2), count: 1)
      }
      await #expect(throws: KernelError.ENOMEM) {
        _ = try await bench.process.migrateToRAM(bench.all)
      }
      try await driver.resume()
      #expect(await bench.damaged(0..<4) == [], "\(order)")
    }
  }

  /// The driver leaves while the device sleeps: the bytes are in system memory and come from there.
  @Test func unbindWhileAsleep_keepsTheBytes() throws {
    try withBench(pages: 9) { bench in
      try await bench.fill(0..<9)
      _ = try await bench.process.migrateToDevice(bench.range(2..<9))
      try await #require(bench.machine.driver).suspend()
      await bench.machine.unbindDriver()
      #expect(bench.onDevice(0..<9) == 0)
      #expect(await bench.damaged(0..<9) == [])
    }
  }

  /// A lost device: what was on it is lost, and each access says so; what was in RAM is intact, and
  /// the driver can leave.
  @Test func lostDevice_givesSIGBUSAndLeaves() throws {
    try withBench(pages: 8) { bench in
      try await bench.fill(0..<8)
      _ = try await bench.process.migrateToDevice(bench.range(0..<4))
      bench.machine.gpu.loseDevice()
      await #expect(throws: AccessError.self) {
        _ = try await bench.process.space.load(bench.address(0), count: 1)
      }
      await bench.machine.unbindDriver()
      for page in 0..<4 {
        await #expect(throws: AccessError.sigbus(bench.address(page), .EHWPOISON)) {
          _ = try await bench.process.space.load(bench.address(page), count: 1)
        }
      }
      #expect(await bench.damaged(4..<8) == [])
    }
  }

  /// One page of VRAM has an uncorrectable error: that page is lost, and says so; its neighbours,
  /// which share its copies, come back.
  @Test func unreadablePage_isLostAloneAtTeardown() throws {
    try withBench(pages: 6) { bench in
      try await bench.fill(0..<6)
      _ = try await bench.process.migrateToDevice(bench.all)
      guard case .vram(let address, _) = bench.process.deviceTranslation(bench.address(2)) else {
        Issue.record("page 2 is in VRAM")
        return
      }
      bench.machine.gpu.poison(address)
      await bench.machine.unbindDriver()
      await #expect(throws: AccessError.sigbus(bench.address(2), .EHWPOISON)) {
        _ = try await bench.process.space.load(bench.address(2), count: 1)
      }
      #expect(await bench.damaged(0..<6) == [2])
    }
  }

  @Test func emptyChunks_areGivenBack() throws {
    try withBench(pages: 1100, configure: { $0.policy.emptyChunksKept = 0 }) { bench in
      _ = try await bench.process.migrateToDevice(bench.all)
      let svm = try #require(bench.machine.svm)
      #expect(svm.chunkCount == 3)
      try await bench.process.space.unmap(bench.all)
      _ = await svm.trim(keeping: 0)
      #expect(svm.chunkCount == 0)
      #expect(bench.counters.chunksReturned == 3)
    }
  }

  /// Each step of making a chunk fails once; the next try succeeds (bugs.md G02, N05).
  @Test(arguments: [
    InjectionPoint.memRegion, .vramAlloc, .bufferPin, .memremap,
  ])
  func chunkCreation_unwindsEachStep(point: InjectionPoint) throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      bench.machine.kernel.failures.arm(point, .nth(1))
      let first = try await bench.process.migrateToDevice(bench.all)
      #expect(first.moved == 0)
      #expect(bench.machine.audit() == [])
      let second = try await bench.process.migrateToDevice(bench.all)
      #expect(second.moved == 4)
      #expect(await bench.damaged(0..<4) == [])
    }
  }

  @Test func bindTwice_isRefused() throws {
    try withBench(pages: 1) { bench in
      await #expect(throws: KernelError.EBUSY) { try await bench.machine.boot() }
      let svm = try #require(bench.machine.svm)
      await #expect(throws: KernelError.EBUSY) { _ = try await svm.open(bench.process.space) }
    }
  }

  @Test func largeVRAM_costsNothing() throws {
    try withBench(pages: 1, configure: { $0.gpu.vramBytes = 64 << 30 }) { bench in
      try await bench.fill(0..<1)
      #expect(try await bench.process.migrateToDevice(bench.all).moved == 1)
      #expect(bench.machine.driver?.vramBytes == 64 << 30)
    }
  }

  @Test(arguments: [0, 4095, UInt64.max])
  func badMemorySizes_areRefused(bytes: UInt64) {
    var configuration = MachineConfiguration()
    configuration.ramBytes = bytes
    #expect(throws: KernelError.self) { _ = try Machine(configuration) }
  }
}
