import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Testing

@testable import Nouveau

/// The audit of device memory, of DMA and of tasks, with damage done for it to find.
@Suite struct DmemAuditTests {
  /// One line of the audit while the damage stands, none before and after.
  private func expect(
    _ machine: Machine, _ lines: [String], _ damage: () -> Void, repair: () -> Void
  ) {
    #expect(machine.audit() == [])
    damage()
    #expect(machine.audit() == lines)
    repair()
    #expect(machine.audit() == [])
  }

  @Test func batchThatStaysWatched_isNamed() throws {
    try withBench(pages: 2) { bench in
      let (dmem, _) = try await firstChunk(bench)
      let svmm = try #require(bench.machine.svm?.processes.all.first)
      let arrival = await svmm.expect(bench.all, of: dmem.owner)
      #expect(bench.machine.audit() == ["svm: the batch at \(bench.address(0)) stays watched"])
      svmm.forget(arrival)
      #expect(bench.machine.audit() == [])
    }
  }

  /// All pages moved to the device, and the chunk that they lie in.
  private func firstChunk(_ bench: Bench) async throws -> (Dmem, DmemChunk) {
    try await bench.fill(0..<bench.pages)
    _ = try await bench.process.migrateToDevice(bench.all)
    let dmem = try #require(bench.machine.svm?.dmem)
    return (dmem, try #require(dmem.chunks.first))
  }

  @Test func wrongCounts_areNamed() throws {
    try withBench(pages: 4) { bench in
      let machine = bench.machine
      let (dmem, chunk) = try await self.firstChunk(bench)
      let free = dmem.freePages
      self.expect(machine, ["dmem: \(free + 1) free pages counted, \(free) found"]) {
        dmem.freePages += 1
      } repair: {
        dmem.freePages -= 1
      }
      self.expect(machine, ["dmem: 2 pages stay promised"]) {
        dmem.reservedPages += 2
      } repair: {
        dmem.reservedPages -= 2
      }
      self.expect(machine, ["dmem: chunk \(chunk.range) believes to be number 3"]) {
        chunk.position = 3
      } repair: {
        chunk.position = 0
      }
    }
  }

  /// A page that a chunk counts as used although nobody has it, and one that it has handed out
  /// twice over: the free list would give somebody else's page away.
  @Test func pageThatNobodyHas_isNamed() throws {
    try withBench(pages: 4) { bench in
      let machine = bench.machine
      let (dmem, chunk) = try await self.firstChunk(bench)
      var taken: PFN?
      let before = dmem.freePages
      self.expect(
        machine,
        [
          "dmem: page \(chunk.range.start + 4) is taken, and free for the core",
          "dmem: \(before) free pages counted, \(before - 1) found",
          "dmem: 5 device pages in use, 4 are mapped, 0 are held otherwise",
        ]
      ) {
        taken = chunk.take()
      } repair: {
        if let taken { chunk.giveBack(taken) }
      }
      guard case .device(let frame) = bench.process.space.entry(at: bench.address(0)).location
      else { return #expect(Bool(false), "page 0 isn't on the device") }
      chunk.giveBack(frame)
      #expect(machine.audit().contains { $0.contains("3 device pages in use, 4 are mapped") })
      #expect(chunk.take() == frame)
      #expect(machine.audit() == [])
    }
  }

  @Test func mappingUnmappedTwiceOrInAnotherSize_isNamed() throws {
    let machine = try Machine(.tiny)
    try machine.runThrowing { machine throws(KernelError) in try await machine.boot() }
    let dma = machine.gpu.dma
    let address = try dma.map(PFN(5), .toDevice)
    dma.unmap(address, .toDevice)
    #expect(machine.audit() == [])
    dma.unmap(address, .toDevice)
    #expect(machine.audit() == ["dma: \(address) was unmapped without a mapping"])
  }

  @Test func taskAsleepForEver_isNamed() throws {
    let machine = try Machine(.tiny)
    try machine.runThrowing { machine throws(KernelError) in try await machine.boot() }
    let kernel = machine.kernel
    kernel.spawn("forgotten") { await Completion(kernel, "an answer").wait() }
    try kernel.runUntilIdle()
    #expect(machine.audit() == ["task: forgotten waits for an answer"])
  }
}
