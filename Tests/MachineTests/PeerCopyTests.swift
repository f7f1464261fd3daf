import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Pages that go from one GPU's memory to the other's over the bus.
@Suite struct PeerCopyTests {
  static let engines = PeerEngine.allCases

  @Test(arguments: engines) func directCopy_movesBytesAndPages(engine: PeerEngine) throws {
    try withTwoGPUs(pages: 12, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<8, on: 0)
      try await bench.fill(8..<12)
      let copied = bench.machine.gpus.map { $0.gpu.bytesCopied }
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1, explains: true)
      #expect(result.moved == 12 && result.fetched.direct == 8 && result.skipped == 0)
      #expect(result.fetched.fallback == nil && result.fetched.error == nil && result.stayed == [])
      #expect(bench.inUse(0) == 0 && bench.inUse(1) == 12)
      #expect(bench.counters(0).toRAM == 0 && bench.counters(0).faults == 0)
      #expect(bench.counters(1).fromPeers == 8 && bench.counters(1).toDevice == 12)
      let moved = zip(bench.machine.gpus, copied).map { ($0.gpu.bytesCopied - $1) / 4096 }
      let expected: [UInt64] = engine == .source ? [8, 4] : [0, 12]
      #expect(moved == expected)
      #expect(await bench.damaged(0..<12, gpu: 1) == [])
      #expect(await bench.damaged(0..<12) == [])
    }
  }

  /// Mapped for the GPU that gets them at once: reading them there is no fault.
  @Test(arguments: engines) func copiedPages_areMapped(engine: PeerEngine) throws {
    try withTwoGPUs(pages: 8, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<8, on: 0)
      _ = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(await bench.damaged(0..<8, gpu: 1) == [])
      #expect(bench.machine.gpus[1].gpu.replayableFaults == 0)
    }
  }

  /// What the first GPU may have in its TLB leads nowhere afterwards.
  @Test(arguments: engines) func oldTranslations_areGone(engine: PeerEngine) throws {
    try withTwoGPUs(pages: 2, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<2, on: 0)
      try await bench.process.deviceStore(bench.address(0), [7])
      _ = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(bench.process.deviceTranslation(bench.address(0), gpu: 0) == .none)
      try await bench.process.deviceStore(bench.address(0), [8], gpu: 1)
      #expect(try await bench.process.deviceLoad(bench.address(0), count: 1) == [8])
    }
  }

  @Test func backAndForth_keepsEveryByte() throws {
    try withTwoGPUs(pages: 600, peers: .direct) { bench in
      try await bench.put(0..<600, on: 0)
      for round in 1...4 {
        let result = try await bench.process.migrateToDevice(bench.all, gpu: round % 2)
        #expect(result.fetched.direct == 600)
      }
      #expect(bench.inUse(0) == 600 && bench.inUse(1) == 0)
      #expect(await bench.damaged(0..<600) == [])
    }
  }

  @Test func withoutAPathOnTheBus_goesThroughRAM() throws {
    try withTwoGPUs(pages: 4, peers: .direct, configure: { $0.peerAccess = false }) { bench in
      try await bench.put(0..<4, on: 0)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.fetched.fallback == .notReachable && result.fetched.throughHost == 4)
      #expect(result.moved == 4 && bench.inUse(1) == 4)
      #expect(bench.counters(1).peerFallbacks == 1)
      #expect(await bench.damaged(0..<4, gpu: 1) == [])
    }
  }

  /// Each step of the direct way fails once: bytes survive, and the way round is named.
  @Test(arguments: engines, [InjectionPoint.peerWindow, .peerMap, .copySubmit, .copyError])
  func failedStep_fallsBackByName(engine: PeerEngine, point: InjectionPoint) throws {
    try withTwoGPUs(pages: 4, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<4, on: 0)
      bench.arm(point)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      let expected = [
        InjectionPoint.peerWindow: "no-window", .peerMap: "not-mapped", .copySubmit: "copy-failed",
        .copyError: "copy-failed",
      ]
      #expect(result.fetched.fallback?.name == expected[point])
      #expect(result.fetched.throughHost == 4 && result.moved == 4)
      #expect(await bench.damaged(0..<4, gpu: 1) == [])
    }
  }

  /// Fences of the copying GPU that never come, come late, or lie.
  @Test(
    arguments: engines,
    [InjectionPoint.fenceStall, .fenceLate, .fenceWrongValue, .interruptLost, .copyFault])
  func brokenFence_losesNothing(engine: PeerEngine, point: InjectionPoint) throws {
    try withTwoGPUs(pages: 6, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<6, on: 0)
      bench.arm(point)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.moved == 6)
      #expect((result.fetched.fallback == nil) == (point == .interruptLost))
      #expect(await bench.damaged(0..<6, gpu: 1) == [])
    }
  }

  /// Part of a batch can't be mapped: what could be is moved directly, the rest goes through RAM.
  @Test func mappingFailsInTheMiddle_splitsTheWay() throws {
    try withTwoGPUs(pages: 6, peers: .direct) { bench in
      try await bench.put(0..<6, on: 0)
      bench.arm(.peerMap, nth: 3)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.fetched.direct == 2 && result.fetched.throughHost == 4 && result.moved == 6)
      #expect(await bench.damaged(0..<6, gpu: 1) == [])
    }
  }

  /// A write to a board that left the bus is dropped without a word, and the writer's fence comes:
  /// the driver has to look before it gives the old page away.
  @Test func targetOffTheBus_keepsThePagesWhereTheyAre() throws {
    try withTwoGPUs(pages: 4, peers: .direct) { bench in
      try await bench.put(0..<4, on: 0)
      bench.machine.gpus[1].gpu.loseDevice()
      let result = try? await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result?.fetched.direct ?? 0 == 0)
      #expect(bench.inUse(1) == 0)
      #expect(await bench.damaged(0..<4) == [])
    }
  }

  @Test func sourceOffTheBus_isToldToWhoReads() throws {
    try withTwoGPUs(pages: 2, peers: .direct, engine: .destination) { bench in
      try await bench.put(0..<2, on: 0)
      bench.machine.gpus[0].gpu.loseDevice()
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.moved == 0 && result.error != nil)
      await #expect(throws: AccessError.self) {
        _ = try await bench.process.space.load(bench.address(0), count: 1)
      }
      await bench.machine.unbindDriver(gpu: 0)
      #expect(bench.inUse(1) == 0)
    }
  }

  /// A page whose memory is bad stays and says so; its neighbours come.
  @Test(arguments: engines) func badMemory_isNotCopied(engine: PeerEngine) throws {
    try withTwoGPUs(pages: 2, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<2, on: 0)
      let svm = try #require(bench.machine.gpus[0].svm)
      guard case .device(let page) = bench.process.space.entry(at: bench.address(1)).location,
        let place = svm.dmem.chunk(of: page)?.address(of: page)
      else { return #expect(Bool(false)) }
      bench.machine.gpus[0].gpu.poison(place)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.fetched.fallback?.name == "copy-failed" && result.error == .EIO)
      #expect(bench.inUse(0) == 2)
      // One by one the good page comes.
      _ = try await bench.process.migrateToDevice(bench.range(0..<1), gpu: 1)
      #expect(await bench.damaged(0..<1, gpu: 1) == [])
      try await bench.process.space.unmap(bench.range(1..<2))
    }
  }

  @Test(arguments: engines) func sleepingGPU_isNotWaitedForWithTheOtherHeld(engine: PeerEngine)
    throws
  {
    try withTwoGPUs(pages: 4, peers: .direct, engine: engine) { bench in
      try await bench.put(0..<4, on: 0)
      let machine = bench.machine
      try await machine.gpus[0].driver?.suspend()
      let mover = machine.kernel.spawn("mover") {
        let result = try? await bench.process.migrateToDevice(bench.all, gpu: 1)
        #expect(result?.fetched.fallback == .notRunning && result?.moved == 4)
      }
      await machine.kernel.sleep(1_000_000)
      // The second can go to sleep and wake while the mover waits for the first.
      try await machine.gpus[1].driver?.suspend()
      try await machine.gpus[1].driver?.resume()
      try await machine.gpus[0].driver?.resume()
      await mover.join()
      #expect(await bench.damaged(0..<4, gpu: 1) == [])
    }
  }

  /// The window goes with a suspend, since the chunk may lie elsewhere afterwards.
  @Test(arguments: engines) func windows_endWithASuspend(engine: PeerEngine) throws {
    try withTwoGPUs(pages: 4, peers: .direct, engine: engine) { bench in
      for round in 0..<2 {
        try await bench.put(0..<4, on: 0)
        #expect(
          try await bench.process.migrateToDevice(bench.all, gpu: 1).fetched.direct == 4)
        for slot in bench.machine.gpus {
          try await slot.driver?.suspend()
          try await slot.driver?.resume()
        }
        #expect(await bench.damaged(0..<4, gpu: 1) == [], "round \(round)")
        _ = try await bench.process.migrateToRAM(bench.all, gpu: 1)
      }
    }
  }

  @Test(arguments: Order.several) func forkedPages_moveForBoth(order: Order) throws {
    try withTwoGPUs(pages: 4, order: order, peers: .direct) { bench in
      try await bench.put(0..<4, on: 0)
      let child = try await bench.machine.fork(bench.process, "child")
      #expect(try await child.migrateToDevice(bench.all, gpu: 1).fetched.direct == 4)
      try await child.deviceStore(bench.address(0), [1, 2, 3], gpu: 1)
      #expect(await bench.damaged(0..<4, gpu: 0) == [])
      #expect(try await child.space.load(bench.address(0), count: 3) == [1, 2, 3])
      await child.exit()
    }
  }

  /// Either driver goes while pages are on their way.
  @Test(arguments: Order.several, [0, 1])
  func teardownDuringTheCopy_losesNothing(order: Order, gone: Int) throws {
    try withTwoGPUs(pages: 32, order: order, peers: .direct) { bench in
      try await bench.put(0..<32, on: 0)
      let mover = bench.machine.kernel.spawn("mover") {
        _ = try? await bench.process.migrateToDevice(bench.all, gpu: 1)
      }
      let unloader = bench.machine.kernel.spawn("unloader") {
        await bench.machine.unbindDriver(gpu: gone)
      }
      await mover.join()
      await unloader.join()
      #expect(bench.machine.audit() == [])
      #expect(await bench.damaged(0..<32) == [])
    }
  }

  /// CPU and both GPUs write while pages go to and fro.
  @Test(arguments: Order.several) func writersOnThreeSides_agree(order: Order) throws {
    try withTwoGPUs(pages: 4, order: order, peers: .direct) { bench in
      try await bench.put(0..<4, on: 0)
      let kernel = bench.machine.kernel
      let movers = (0..<2).map { gpu in
        kernel.spawn("mover \(gpu)") {
          for _ in 0..<3 { _ = try? await bench.process.migrateToDevice(bench.all, gpu: gpu) }
        }
      }
      let writers = (0..<2).map { gpu in
        kernel.spawn("gpu writer \(gpu)") {
          for page in 0..<4 {
            try? await bench.process.deviceStore(
              bench.address(page, 8 * gpu), [UInt8](repeating: 0xa0, count: 8), gpu: gpu)
          }
        }
      }
      let cpu = kernel.spawn("cpu") {
        for page in 0..<4 {
          try? await bench.process.space.store(
            bench.address(page, 16), [UInt8](repeating: 0xa0, count: 8))
        }
      }
      for task in movers + writers + [cpu] { await task.join() }
      for page in 0..<4 {
        let bytes = try await bench.process.space.load(bench.address(page), count: 4096)
        #expect(Array(bytes[..<24]) == [UInt8](repeating: 0xa0, count: 24))
        #expect(Array(bytes[24...]) == Array(Bench.pattern(page)[24...]))
      }
    }
  }
}
