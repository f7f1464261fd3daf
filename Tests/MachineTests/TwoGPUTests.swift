import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Two GPUs in one machine: each with a driver, memory and an owner of its own.
@Suite struct TwoGPUTests {
  @Test func eachGPU_hasItsOwnMemory() throws {
    try withTwoGPUs(pages: 16) { bench in
      try await bench.put(0..<8, on: 0)
      try await bench.put(8..<16, on: 1)
      #expect(bench.inUse(0) == 8 && bench.inUse(1) == 8)
      #expect(bench.machine.gpus[0].gpu.bytesCopied == 8 * 4096)
      #expect(bench.machine.gpus[1].gpu.bytesCopied == 8 * 4096)
      #expect(await bench.damaged(0..<8, gpu: 0) == [])
      #expect(await bench.damaged(8..<16, gpu: 1) == [])
      #expect(await bench.damaged(0..<16) == [])
      #expect(bench.counters(0).faults == 8 && bench.counters(1).faults == 8)
    }
  }

  /// R23: a request with one's own owner never sees another's pages.
  @Test func otherOwnersPages_stay_andSayWhose() throws {
    try withTwoGPUs(pages: 4) { bench in
      try await bench.put(0..<4, on: 0)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1, explains: true)
      #expect(result.moved == 0 && result.fetched == FetchedPages())
      #expect(result.stayed.map(\.reason.kind) == [.foreignOwner])
      #expect(result.stayed.first?.reason.who == "nouveau")
      #expect(bench.process.why(bench.address(0), gpu: 1)?.kind == .foreignOwner)
      #expect(bench.process.why(bench.address(0), gpu: 0)?.kind == .devicePage)
      #expect(try await bench.process.migrateToRAM(bench.all, gpu: 1) == 0)
      #expect(bench.inUse(0) == 4 && bench.inUse(1) == 0)
    }
  }

  /// R48: a GPU's fault on the other's page has it brought back by the other's driver.
  @Test func faultOnTheOthersPage_bringsItToRAM() throws {
    try withTwoGPUs(pages: 2) { bench in
      try await bench.put(0..<2, on: 0)
      #expect(await bench.damaged(0..<1, gpu: 1) == [])
      #expect(bench.counters(0).faults == 1 && bench.inUse(0) == 1)
      if case .host = bench.process.deviceTranslation(bench.address(0), gpu: 1) {
      } else {
        Issue.record("the second GPU doesn't use the page in RAM")
      }
      try await bench.process.deviceStore(bench.address(1), [1, 2, 3], gpu: 1)
      #expect(try await bench.process.space.load(bench.address(1), count: 3) == [1, 2, 3])
    }
  }

  @Test func migrationThroughTheHost_takesBothSteps() throws {
    try withTwoGPUs(pages: 8, peers: .host) { bench in
      try await bench.put(0..<6, on: 0)
      try await bench.fill(6..<8)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.moved == 8 && result.fetched.throughHost == 6 && result.fetched.direct == 0)
      #expect(bench.inUse(0) == 0 && bench.inUse(1) == 8)
      #expect(bench.counters(0).toRAM == 6)
      #expect(await bench.damaged(0..<8, gpu: 1) == [])
    }
  }

  /// One GPU goes; the other's pages and the process live on.
  @Test(arguments: [0, 1]) func oneDriverUnbound_leavesTheOther(gone: Int) throws {
    try withTwoGPUs(pages: 8) { bench in
      try await bench.put(0..<4, on: 0)
      try await bench.put(4..<8, on: 1)
      await bench.machine.unbindDriver(gpu: gone)
      let left = 1 - gone
      #expect(bench.inUse(left) == 4)
      #expect(bench.machine.audit() == [])
      #expect(await bench.damaged(left * 4..<(left * 4 + 4), gpu: left) == [])
      await #expect(throws: KernelError.ENODEV) {
        _ = try await bench.process.migrateToDevice(bench.all, gpu: gone)
      }
      try await bench.machine.boot(gpu: gone)
      try await bench.process.open(try #require(bench.machine.gpus[gone].svm))
      #expect(await bench.damaged(0..<8, gpu: gone) == [])
    }
  }

  @Test func secondGPUWithoutVRAM_failsTheBoot_andLeavesNothing() throws {
    var configuration = MachineConfiguration()
    configuration.ramBytes = 16 << 20
    configuration.gpu.vramBytes = 32 << 20
    configuration.moreGPUs = [GPUConfiguration(vramBytes: 32 << 20)]
    let machine = try Machine(configuration)
    // The second driver's coherent memory is asked for after all of the first's.
    var passages: UInt64 = 0
    try machine.run { machine in
      try? await machine.boot(gpu: 0)
      passages = machine.kernel.failures.passages(of: .dmaAllocCoherent)
      await machine.shutdown()
      machine.kernel.failures.arm(.dmaAllocCoherent, .nth(passages + 1))
      await #expect(throws: KernelError.ENOMEM) { try await machine.boot() }
    }
    #expect(machine.gpus.allSatisfy { $0.driver == nil })
    #expect(machine.audit() == [])
  }

  @Test func traceRows_tellTheGPUsApart() throws {
    try withTwoGPUs(pages: 2, configure: { $0.isTracing = true }) { bench in
      try await bench.put(0..<1, on: 0)
      try await bench.put(1..<2, on: 1)
      let trace = bench.machine.kernel.trace
      let engines = trace.events.filter { $0.kind.name == "gpu.copy" }
        .map { trace.rows[$0.row.index].name }
      #expect(Set(engines).count == 2)
      #expect(engines.count { $0.hasPrefix("gpu1 ce") } == 1)
      let fences = trace.events.filter { $0.kind.name == "fence.signal" }
        .map { trace.rows[$0.row.index].name }
      #expect(fences.contains { $0.hasPrefix("fence gpu1 ") })
      #expect(fences.contains { !$0.contains("gpu1") })
    }
  }
}
