import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// The whole flow of device memory on the profile whose copy engine runs microcode.
@Suite struct FalconMachineTests {
  private func withFalconBench(
    pages: Int, order: Order = .fifo,
    configure: @escaping (inout MachineConfiguration) -> Void = { _ in },
    _ body: @escaping (Bench) async throws -> Void
  ) throws {
    try withBench(
      pages: pages, order: order,
      configure: {
        $0.gpu.chip = GF100Copy()
        configure(&$0)
      }, body)
  }

  @Test(arguments: Order.several)
  func bytes_goToTheDeviceAndBackThroughTheMicrocode(_ order: Order) throws {
    try withFalconBench(pages: 140, order: order) { bench in
      #expect(bench.machine.gpu.chipName == "GF100-PCOPY")
      try await bench.fill(0..<100)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == 140)
      #expect(bench.onDevice(0..<140) == 140)
      // What was never written is cleared by the swizzle.
      let bytes = try await bench.process.deviceLoad(bench.address(120), count: 16)
      #expect(bytes == [UInt8](repeating: 0, count: 16))
      try await bench.process.deviceStore(bench.address(120, 8), [1, 2, 3])
      #expect(await bench.damaged(0..<100) == [])
      #expect(
        try await bench.process.space.load(bench.address(120, 8), count: 4) == [1, 2, 3, 0])
      #expect(bench.machine.gpu.bytesCopied >= 240 * 4096)
    }
  }

  @Test func realTime_movesTheSameBytes() throws {
    try withFalconBench(pages: 40, configure: { $0.mode = .realTime }) { bench in
      try await bench.fill(0..<40)
      #expect(try await bench.process.migrateToDevice(bench.all).moved == 40)
      #expect(await bench.damaged(0..<40) == [])
    }
  }

  /// A channel's first methods have no fence, so that nothing else waits for the engine.
  @Test func quiescence_waitsForMethodsWithoutAFence() throws {
    var found = 0
    for moment: UInt64 in 0..<16 {
      try withFalconBench(pages: 2) { bench in
        let driver = try #require(bench.machine.driver)
        try await driver.suspend()
        try await driver.resume()
        await bench.machine.kernel.sleep(moment * 250)
        found += bench.machine.audit().count
        await bench.machine.quiesce()
        #expect(bench.machine.audit() == [], "after \(moment * 250) ns")
      }
    }
    #expect(found > 0, "at some moment the engine runs")
  }

  @Test func suspendAndResume_loadTheMicrocodeAgain() throws {
    try withFalconBench(pages: 20) { bench in
      try await bench.fill(0..<20)
      _ = try await bench.process.migrateToDevice(bench.all)
      let driver = try #require(bench.machine.driver)
      try await driver.suspend()
      try await driver.resume()
      #expect(bench.onDevice(0..<20) == 20)
      #expect(await bench.damaged(0..<20) == [])
      #expect(driver.logLines == [])
    }
  }

  @Test func unbindAndBootAgain_bringEverythingBack() throws {
    try withFalconBench(pages: 20) { bench in
      try await bench.fill(0..<20)
      _ = try await bench.process.migrateToDevice(bench.all)
      await bench.machine.unbindDriver()
      #expect(await bench.damaged(0..<20) == [])
      try await bench.machine.boot()
    }
  }

  /// Each way in which a copy can fail on the way back leaves the page on the device with its
  /// bytes.
  @Test(arguments: [
    InjectionPoint.fenceStall, .fenceLate, .copyError, .pbdmaError, .engineHang, .copyFault,
    .dmaMap, .copySubmit,
  ])
  func brokenCopy_isSIGBUSAndLosesNothing(point: InjectionPoint) throws {
    try withFalconBench(pages: 3) { bench in
      try await bench.fill(0..<3)
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(point, .nth(1))
      var access: AccessError?
      do throws(AccessError) {
        _ = try await bench.process.space.load(bench.address(1), count: 1)
      } catch {
        access = error
      }
      switch access {
      case .sigbus, .outOfMemory: break
      default: Issue.record("\(point.name) gave \(String(describing: access))")
      }
      #expect(bench.isOnDevice(1))
      bench.machine.kernel.failures.disarm()
      #expect(await bench.damaged(0..<3) == [], "\(point.name)")
    }
  }

  /// The same on the way to the device: what didn't move stays in RAM.
  @Test(arguments: [
    InjectionPoint.fenceStall, .copyError, .pbdmaError, .engineHang, .copyFault,
  ])
  func brokenMigration_losesNothing(point: InjectionPoint) throws {
    for occurrence: UInt64 in 1...2 {
      try withFalconBench(pages: 6) { bench in
        try await bench.fill(0..<6)
        bench.machine.kernel.failures.arm(point, .nth(occurrence))
        _ = try? await bench.process.migrateToDevice(bench.all)
        bench.machine.kernel.failures.disarm()
        #expect(await bench.damaged(0..<6) == [], "\(point.name), occurrence \(occurrence)")
        #expect(try await bench.process.migrateToDevice(bench.all).moved == 6)
      }
    }
  }

  @Test func aRefusedMethod_isReportedAsTheKernelWould() throws {
    try withFalconBench(pages: 2) { bench in
      try await bench.fill(0..<2)
      bench.machine.kernel.failures.arm(.copyError, .nth(1))
      _ = try? await bench.process.migrateToDevice(bench.all)
      let log = try #require(bench.machine.driver).logLines
      #expect(
        log.contains {
          $0.hasPrefix("ce0: DISPATCH_ERROR 0x1 [ILLEGAL_MTHD] inst 0x")
            && $0.hasSuffix(" subc 4 mthd 0x1ffc data 0x110")
        }, "\(log)")
    }
  }

  @Test func withoutMicrocode_nothingIsBoundAndAnotherTryWorks() throws {
    var configuration = MachineConfiguration()
    configuration.gpu.chip = GF100Copy()
    configuration.gpu.vramBytes = 64 << 20
    configuration.firmware = FirmwareFolder(["/nowhere"])
    let machine = try Machine(configuration)
    #expect(throws: MachineFailure.kernel(.ENOENT)) {
      try machine.runThrowing { (machine) async throws(KernelError) in try await machine.boot() }
    }
    #expect(machine.driver == nil)
    #expect(machine.audit() == [])
  }
}
