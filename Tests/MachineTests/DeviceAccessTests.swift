import Base
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// What runs on the GPU reads and writes the process's memory, wherever it lies.
@Suite struct DeviceAccessTests {
  @Test(arguments: Order.several)
  func deviceSeesRAMAndWritesIt(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<2)
      let process = bench.process
      #expect(
        try await process.deviceLoad(bench.address(1), count: PageSize.bytes) == Bench.pattern(1))
      try await process.deviceStore(bench.address(0, 4090), [1, 2, 3, 4, 5, 6, 7, 8])
      #expect(
        try await process.space.load(bench.address(0, 4090), count: 8) == [1, 2, 3, 4, 5, 6, 7, 8])
      // Never touched: the fault fills it.
      try await process.deviceStore(bench.address(3), [9])
      #expect(try await process.space.load(bench.address(3), count: 1) == [9])
    }
  }

  /// The one interrupt that tells of a fault is lost: the driver looks by itself while work of the
  /// process is on the GPU.
  @Test(
    arguments: [InjectionPoint.interruptLost, .interruptStorm], [Order.fifo, .random(seed: 3)])
  func faultWhoseInterruptIsLost_isServed(point: InjectionPoint, order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      let kernel = bench.machine.kernel
      try await bench.fill(0..<4)
      kernel.failures.arm(point, .always)
      let before = kernel.now
      for page in 0..<2 {
        let seen = try await bench.process.deviceLoad(bench.address(page), count: PageSize.bytes)
        #expect(seen == Bench.pattern(page), "\(order)")
      }
      try await bench.process.deviceStore(bench.address(2), Bench.pattern(2))
      #expect(kernel.now - before < 1_000_000_000, "\(order)")
      kernel.failures.disarm()
      #expect(await bench.damaged(0..<4) == [], "\(order)")
    }
  }

  /// While a process closes the device its migrations are refused; who opens it again gets it when
  /// all of the old is gone.
  @Test(arguments: Order.several)
  func deviceThatIsBeingClosed_isOpenedAgain(order: Order) throws {
    try withBench(pages: 8, order: order) { bench in
      try await bench.fill(0..<8)
      let svm = try #require(bench.machine.svm)
      let svmm = try #require(svm.processes.all.first)
      let mover = bench.machine.kernel.spawn("mover") {
        _ = try? await bench.process.migrateToDevice(bench.all)
      }
      await bench.machine.kernel.sleep(500)
      let closer = bench.machine.kernel.spawn("closer") { await bench.process.close() }
      while !svmm.isLeaving { await bench.machine.kernel.sleep(100) }
      await #expect(throws: KernelError.ENODEV) {
        _ = try await svm.dmem.migrateToDevice(svmm, bench.all)
      }
      try await bench.process.open(svm)
      #expect(svm.processes.all.count == 1 && svm.processes.all.first !== svmm, "\(order)")
      await closer.join()
      await mover.join()
      _ = try await bench.process.migrateToDevice(bench.all)
      #expect(bench.onDevice(0..<8) == 8, "\(order)")
    }
  }

  /// A page that was read back from swap space is writable and clean for the CPU, with its old copy
  /// still there; the GPU's store leaves no mark in the CPU's entry, and must not be lost when the
  /// page goes out again. The same for a page that was given up lazily.
  @Test(arguments: [Advice.pageOut, .free])
  func deviceStore_makesThePageDirty(advice: Advice) throws {
    try withBench(pages: 2, configure: { $0.swapBytes = 1 << 20 }) { bench in
      let space = bench.process.space
      try await bench.fill(0..<2)
      try await space.advise(bench.all, .pageOut)
      _ = try await space.load(bench.address(0), count: 1)
      if advice == .free { try await space.advise(bench.all, .free) }
      try await bench.process.deviceStore(bench.address(0, 16), [7, 8, 9])
      try await space.advise(bench.all, .pageOut)
      // A page that was given up lazily and written since stays; the next reclaim swaps it out.
      if advice == .pageOut {
        guard case .swap = space.entry(at: bench.address(0)).location else {
          Issue.record("\(space.entry(at: bench.address(0)))")
          return
        }
      }
      #expect(try await space.load(bench.address(0, 16), count: 3) == [7, 8, 9])
    }
  }

  /// A process ends while its kernels run, alone or while the driver goes too: each access is done,
  /// or cancelled, and nothing on the GPU finds its way by tables that are gone.
  @Test(arguments: (1...40).map { Order.random(seed: $0) }, [false, true])
  func processThatEnds_endsItsWork(order: Order, driverGoes: Bool) throws {
    try withBench(pages: 2, order: order) { bench in
      try await bench.fill(0..<2)
      let machine = bench.machine
      let other = try await machine.makeProcess("other")
      let start = try await other.space.map(bytes: UInt64(4 * PageSize.bytes), .readWrite)
      let running = [0, 2].map { first in
        machine.kernel.spawn("gpu \(first)") {
          for page in first..<first + 2 {
            do throws(DeviceAccessError) {
              try await other.deviceStore(start + page * PageSize.bytes, [1])
              _ = try await bench.process.deviceLoad(bench.address(page % 2), count: 8)
            } catch {
              switch error {
              case .closed, .cancelled: break
              default: Issue.record("\(order): \(error)")
              }
            }
          }
        }
      }
      let driver = machine.kernel.spawn("unbinder") {
        if driverGoes { await machine.unbindDriver() }
      }
      await machine.kernel.sleep(1_500)
      await other.exit()
      for task in running + [driver] { await task.join() }
      #expect(await bench.damaged(0..<2) == [], "\(order)")
    }
  }

  /// bugs.md N20 and checks.md A10: a store of the GPU while the page moves is never lost.
  @Test(arguments: (1...100).map { Order.random(seed: $0) })
  func deviceStores_surviveMovesBothWays(order: Order) throws {
    try withBench(pages: 2, order: order) { bench in
      try await bench.fill(0..<2)
      let process = bench.process
      let kernel = bench.machine.kernel
      var written: UInt8 = 0
      let device = kernel.spawn("gpu") {
        for value in 1...6 {
          if (try? await process.deviceStore(bench.address(0), [UInt8(value)])) != nil {
            written = UInt8(value)
          }
        }
      }
      let mover = kernel.spawn("mover") {
        for _ in 0..<3 {
          _ = try? await process.migrateToDevice(bench.all)
          _ = try? await process.space.load(bench.address(1), count: 1)
          _ = try? await process.migrateToRAM(bench.all)
        }
      }
      await device.join()
      await mover.join()
      #expect(try await process.space.load(bench.address(0), count: 1) == [written], "\(order)")
    }
  }

  @Test func unmappedAddress_isCancelledNotHung() throws {
    try withBench(pages: 2) { bench in
      let bad = VirtualAddress(0x10_0000)
      await #expect(throws: DeviceAccessError.cancelled(bad)) {
        _ = try await bench.process.deviceLoad(bad, count: 4)
      }
      // The context goes on.
      try await bench.fill(0..<1)
      #expect(try await bench.process.deviceLoad(bench.address(0), count: 1) == [0])
    }
  }

  /// bugs.md L10, T04: the client closes, the process stays; its pages come back all the same.
  @Test func closedClient_pagesComeBack() throws {
    try withBench(pages: 8) { bench in
      try await bench.fill(0..<8)
      _ = try await bench.process.migrateToDevice(bench.all)
      await bench.process.close()
      #expect(await bench.damaged(0..<8) == [])
      await #expect(throws: DeviceAccessError.closed(bench.address(0))) {
        _ = try await bench.process.deviceLoad(bench.address(0), count: 1)
      }
      await #expect(throws: KernelError.ENODEV) {
        _ = try await bench.process.migrateToDevice(bench.all)
      }
    }
  }
}
