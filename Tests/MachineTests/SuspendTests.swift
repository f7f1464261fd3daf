import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// A suspend or a resume that fails: every wait ends, no byte is lost, and it can be tried again.
@Suite struct SuspendTests {
  private static let broken: [InjectionPoint] = [
    .copyError, .copyFault, .engineHang, .fenceStall, .pbdmaError, .ringSpace, .dmaMap,
    .copySubmit, .bufferPin,
  ]

  private func resume(_ driver: NouveauDevice) async -> KernelError? {
    do throws(KernelError) {
      try await driver.resume()
      return nil
    } catch {
      return error
    }
  }

  /// The n-th passage fails while the device wakes. Until it is woken again, an access gets the
  /// error; then every byte is there.
  @Test(arguments: broken) func resumeThatFails_canBeTriedAgain(point: InjectionPoint) throws {
    var failed = 0
    for passage: UInt64 in 1...4 {
      try withBench(pages: 6) { bench in
        try await bench.fill(0..<6)
        _ = try await bench.process.migrateToDevice(bench.all)
        let driver = try #require(bench.machine.driver)
        try await driver.suspend()
        bench.machine.kernel.failures.arm(point, .nth(passage))
        let error = await self.resume(driver)
        bench.machine.kernel.failures.disarm()
        if let error {
          failed += 1
          await #expect(throws: AccessError.sigbus(bench.address(1), error)) {
            _ = try await bench.process.space.load(bench.address(1), count: 1)
          }
          await #expect(throws: DeviceAccessError.asleep(bench.address(2), error)) {
            _ = try await bench.process.deviceLoad(bench.address(2), count: 1)
          }
          try await driver.resume()
        }
        let seen = try await bench.process.deviceLoad(bench.address(2), count: PageSize.bytes)
        #expect(seen == Bench.pattern(2), "\(point.name) \(passage)")
        try await driver.suspend()
        try await driver.resume()
        #expect(await bench.damaged(0..<6) == [], "\(point.name) \(passage)")
      }
    }
    #expect(failed > 0, "\(point.name)")
  }

  /// The n-th passage fails while the device goes to sleep. If it stays awake its pages are as they
  /// were, or a resume brings them.
  @Test(arguments: broken) func suspendThatFails_leavesEverything(point: InjectionPoint) throws {
    for passage: UInt64 in 1...4 {
      try withBench(pages: 6) { bench in
        try await bench.fill(0..<6)
        _ = try await bench.process.migrateToDevice(bench.all)
        let driver = try #require(bench.machine.driver)
        bench.machine.kernel.failures.arm(point, .nth(passage))
        try? await driver.suspend()
        bench.machine.kernel.failures.disarm()
        let state = await self.resume(driver)
        #expect(state == nil || state == .EINVAL, "\(point.name) \(passage)")
        try await driver.suspend()
        try await driver.resume()
        #expect(await bench.damaged(0..<6) == [], "\(point.name) \(passage)")
      }
    }
  }

  /// After a resume that failed the device may be put to sleep again, or its driver unbound.
  @Test(arguments: [false, true]) func failedResume_thenSleepOrUnbind(sleepsAgain: Bool) throws {
    try withBench(pages: 6) { bench in
      try await bench.fill(0..<6)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      try await driver.suspend()
      bench.machine.kernel.failures.arm(.bufferPin, .nth(1))
      #expect(await self.resume(driver) == .ENOMEM)
      bench.machine.kernel.failures.disarm()
      if sleepsAgain {
        try await driver.suspend()
        try await driver.resume()
        #expect(bench.onDevice(0..<6) == 6)
      } else {
        await bench.machine.unbindDriver()
        #expect(bench.onDevice(0..<6) == 0)
      }
      #expect(await bench.damaged(0..<6) == [])
    }
  }

  /// The channels of a device that sleeps are not on the host: no fence of theirs is waited for.
  @Test func unbindAsleep_waitsForNoFence() throws {
    try withBench(pages: 6) { bench in
      try await bench.fill(0..<6)
      _ = try await bench.process.migrateToDevice(bench.all)
      try await bench.machine.driver?.suspend()
      var refused: KernelError?
      let mover = bench.machine.kernel.spawn("mover") {
        do throws(KernelError) {
          _ = try await bench.process.migrateToDevice(bench.all)
        } catch {
          refused = error
        }
      }
      await bench.machine.kernel.sleep(1_000)
      let began = bench.machine.kernel.now
      await bench.machine.unbindDriver()
      await mover.join()
      #expect(refused == .ENODEV, "who waited for the device is told")
      #expect(bench.machine.kernel.now - began < 1_000_000)
      #expect(bench.onDevice(0..<6) == 0)
      #expect(await bench.damaged(0..<6) == [])
    }
  }

  /// A kernel still runs on the GPU when the driver leaves, at each stage of an access that faults:
  /// on its way, reported, served, or waiting for a buffer that nobody reads any more.
  @Test(arguments: [false, true], Array(0..<16))
  func runningKernel_endsWithTheDriver(isAsleep: Bool, stage: UInt64) throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      let machine = bench.machine
      let instance = try #require(machine.svm?.processes.all.first).instanceAddress
      var result: DeviceAccessResult?
      let reader = machine.kernel.spawn("gpu") {
        let address = GPUVirtualAddress(bench.address(3).rawValue)
        result = await machine.gpu.load(instance: instance, address, count: 8).0
      }
      await machine.kernel.sleep(stage * 500)
      if isAsleep { try await machine.driver?.suspend() }
      await machine.unbindDriver()
      await reader.join()
      switch result {
      case .completed, .stopped, .cancelled: break
      default: Issue.record("\(String(describing: result))")
      }
      #expect(await bench.damaged(0..<4) == [])
    }
  }

  /// A child of a process that has the device open gets it when the device wakes.
  @Test(arguments: Order.several) func openAsleep_waitsForResume(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.all)
      let machine = bench.machine
      try await machine.driver?.suspend()
      let forker = machine.kernel.spawn("forker") {
        guard let child = try? await machine.fork(bench.process, "child") else {
          return #expect(Bool(false), "\(order): no child")
        }
        let seen = try? await child.deviceLoad(bench.address(1), count: PageSize.bytes)
        #expect(seen == Bench.pattern(1), "\(order)")
        await child.exit()
      }
      await machine.kernel.sleep(1_000)
      try await machine.driver?.resume()
      await forker.join()
      #expect(await bench.damaged(0..<4) == [])
    }
  }

  @Test(arguments: Order.several) func deviceAccess_waitsForResume(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      try await driver.suspend()
      let reader = bench.machine.kernel.spawn("gpu") {
        let seen = try? await bench.process.deviceLoad(bench.address(3), count: PageSize.bytes)
        #expect(seen == Bench.pattern(3), "\(order)")
      }
      try await driver.resume()
      await reader.join()
    }
  }

  /// A kernel that still runs on the GPU while the driver sleeps: its access waits for a replay.
  /// The resume has it tried again; one that fails ends it, and what it does afterwards too.
  @Test(arguments: [false, true]) func parkedAccess_goesOnOrEnds(resumeFails: Bool) throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      let machine = bench.machine
      let driver = try #require(machine.driver)
      let instance = try #require(machine.svm?.processes.all.first).instanceAddress
      let address = GPUVirtualAddress(bench.address(3).rawValue)
      try await driver.suspend()
      let reader = machine.kernel.spawn("gpu") {
        let (result, bytes) = await machine.gpu.load(
          instance: instance, address, count: PageSize.bytes)
        if case .cancelled = result {
          #expect(resumeFails)
        } else {
          #expect(!resumeFails && result == .completed && bytes == Bench.pattern(3))
        }
      }
      while machine.gpu.parkedAccesses == 0 { await machine.kernel.sleep(1_000) }
      if resumeFails { machine.kernel.failures.arm(.ringSpace, .nth(1)) }
      #expect(await self.resume(driver) == (resumeFails ? .EBUSY : nil))
      machine.kernel.failures.disarm()
      await reader.join()
      if resumeFails {
        #expect(await machine.gpu.load(instance: instance, address, count: 1).0 == .stopped)
        try await driver.resume()
      }
      let seen = try await bench.process.deviceLoad(bench.address(1), count: PageSize.bytes)
      #expect(seen == Bench.pattern(1))
    }
  }
}
