import Base
import DMAFence
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Testing

@testable import Nouveau

/// What fences, locks, reclaim and notifiers wait for in the driver: its own flows are clean (every
/// test's audit says so), and each way to break the rules is reported with the chain.
@Suite struct FenceDisciplineTests {
  private static let pages = 4

  /// What the checks find while `body` runs on a machine with the driver.
  private func offences(
    _ body: @escaping (Bench) async throws -> Void
  ) throws -> [LockOffence] {
    var configuration = MachineConfiguration()
    configuration.ramBytes = 16 << 20
    configuration.gpu.vramBytes = 64 << 20
    configuration.driver.channels = 8
    let machine = try Machine(configuration)
    var failure: (any Error)?
    try machine.run { machine in
      do {
        try await machine.boot()
        let process = try await machine.makeProcess("p")
        let start = try await process.space.map(
          bytes: UInt64(Self.pages * PageSize.bytes), .readWrite)
        let bench = Bench(machine: machine, process: process, start: start, pages: Self.pages)
        try await bench.fill(0..<Self.pages)
        try await body(bench)
      } catch {
        failure = error
      }
      await machine.shutdown()
    }
    if let failure { throw failure }
    return machine.kernel.lockChecks.offences
  }

  private static let throughNotifiers = [
    "fs_reclaim -> mmu_notifier (rule: reclaim calls MMU notifiers)",
    "mmu_notifier -> dma_fence (rule: an MMU notifier may wait for a fence)",
  ]

  /// The flows are clean because they were looked at, not because nothing was.
  @Test func flows_areSeenByTheChecks() throws {
    try withBench(pages: Self.pages) { bench in
      try await bench.fill(0..<Self.pages)
      _ = try await bench.process.migrateToDevice(bench.all)
      _ = try await bench.process.space.load(bench.address(0), count: 1)
      let channel = try #require(bench.machine.driver?.copyChannel)
      channel.fail(.EIO)
      channel.runlist.scheduleRecovery(of: channel)
      _ = try await bench.process.migrateToRAM(bench.all)
      try await bench.process.space.unmap(bench.range(0..<1))
      let seen = bench.machine.kernel.lockChecks.observedDependencies.map {
        "\($0.from) -> \($0.to)"
      }
      for edge in [
        "mmap_lock -> dma_fence", "mmap_lock -> mmu_notifier", "dmem mutex -> fs_reclaim",
        "mmu_notifier -> svmm mutex", "channel mutex -> dma_fence", "dma_fence -> runlist mutex",
      ] {
        #expect(seen.contains(edge), "\(edge) is not in \(seen)")
      }
    }
  }

  @Test func allocationBehindAnEmittedFence_isReportedWithTheChain() throws {
    let found = try offences { bench in
      let channel = try #require(bench.machine.driver?.copyChannel)
      let mm = bench.machine.mm
      // What stands between the fence and the doorbell must not wait for memory…
      let page = try await channel.withFence(dwords: 0) { _ in try? mm.allocatePage() }
      // …but may take what is free.
      let other = try await channel.withFence(dwords: 0) { _ in try? mm.allocatePage(.atomic) }
      try await other.fence.wait()
      for page in [page.result, other.result] { mm.put(try #require(page)) }
    }
    #expect(found.map(\.rule) == [.signalling])
    #expect(
      found.first?.chain == [
        "dma_fence -> fs_reclaim (main allocates with reclaim in a signalling section)"
      ] + Self.throughNotifiers)
  }

  @Test(arguments: [true, false])
  func allocationInACallback_isReported(isInterrupt: Bool) throws {
    let found = try offences { bench in
      let channel = try #require(bench.machine.driver?.copyChannel)
      let mm = bench.machine.mm
      let fence = try await NouveauFence.emit(on: channel)
      fence.fence.addCallback { _ in
        if let page = try? mm.allocatePage() { mm.put(page) }
      }
      if isInterrupt { try await fence.wait() } else { channel.kill(.EIO) }
    }
    #expect(found.map(\.rule) == [.atomic])
    let chain = try #require(found.first?.chain.first)
    #expect(chain.hasSuffix("allocates with mayReclaim in atomic context"), "\(chain)")
  }

  /// Recovery takes the runlist's mutex, and fences of the runlist's other channels wait for it.
  @Test func allocationUnderTheRunlistMutex_closesACircleWithRecovery() throws {
    let found = try offences { bench in
      let channel = try #require(bench.machine.driver?.copyChannel)
      channel.fail(.EIO)
      channel.runlist.scheduleRecovery(of: channel)
      try await channel.rebuild()
      let mm = bench.machine.mm
      await channel.runlist.lock.withLock {
        if let page = try? mm.allocatePage(.noShrinkers) { mm.put(page) }
      }
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(
      found.first?.chain == [
        "runlist mutex -> mmu_notifier (main calls MMU notifiers)",
        Self.throughNotifiers[1],
        "dma_fence -> runlist mutex (kworker/nouveau-rc takes it in a signalling section)",
      ])
  }

  @Test func fenceWaitUnderTheRunlistMutex_closesACircleWithRecovery() throws {
    let found = try offences { bench in
      let channel = try #require(bench.machine.driver?.copyChannel)
      let fence = try await NouveauFence.emit(on: channel)
      await channel.runlist.lock.withLock { _ = await fence.fence.wait() }
      channel.fail(.EIO)
      channel.runlist.scheduleRecovery(of: channel)
      try await channel.rebuild()
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(
      found.first?.chain == [
        "dma_fence -> runlist mutex (kworker/nouveau-rc takes it in a signalling section)",
        "runlist mutex -> dma_fence (main waits for a fence)",
      ])
  }

  /// The notifier takes the svmm mutex, and reclaim calls the notifier.
  @Test func allocationUnderTheSVMMutex_closesACircleWithItsNotifier() throws {
    let found = try offences { bench in
      _ = try await bench.process.migrateToDevice(bench.range(0..<1))
      try await bench.process.space.unmap(bench.range(3..<4))
      let svmm = try #require(bench.machine.svm?.processes.svmm(of: bench.process.space))
      let mm = bench.machine.mm
      await svmm.mutex.withLock { if let page = try? mm.allocatePage() { mm.put(page) } }
    }
    #expect(found.map(\.rule) == [.cycle])
    let chain = try #require(found.first?.chain)
    #expect(chain.count == 3 && chain[1] == Self.throughNotifiers[0], "\(chain)")
    #expect(chain[0] == "svmm mutex -> fs_reclaim (main allocates with reclaim)")
    #expect(chain[2].hasPrefix("mmu_notifier -> svmm mutex ("), "\(chain)")
  }

  /// A section that waits for room, for a page or for a lock depends on who holds it.
  @Test func waitingInASection_isReported() throws {
    let found = try offences { bench in
      let kernel = bench.machine.kernel
      let channel = try #require(bench.machine.driver?.copyChannel)
      let mm = bench.machine.mm
      let page = try mm.allocatePage()
      try await kernel.signalling { () async throws(KernelError) in
        try await channel.withPush(dwords: 1) { $0.word(0) }
        await mm.lock(page)
      }
      mm.unlock(page)
      mm.put(page)
    }
    #expect(found.allSatisfy { $0.rule == .signalling })
    let chains = found.map { $0.chain.joined(separator: ", ") }
    #expect(
      chains == [
        "dma_fence -> channel mutex (main takes it in a signalling section), "
          + "channel mutex -> dma_fence (main waits for a fence)",
        "dma_fence -> dma_fence (main waits for a fence in a signalling section)",
        "dma_fence -> page lock (main waits for a page lock in a signalling section), "
          + "page lock -> dma_fence (rule: a migration waits for its copies with pages locked)",
      ])
  }
}
