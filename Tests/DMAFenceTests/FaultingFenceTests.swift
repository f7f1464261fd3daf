import Base
import DMAFence
import KernelRuntime
import Testing

/// Fences of work that may stand still at a page fault (R93, R94), and what runs for reclaim.
@Suite struct FaultingFenceTests {
  private func offences(_ body: @escaping (Bench) async -> Void) throws -> [LockOffence] {
    let bench = Bench()
    try bench.kernel.run { await body(bench) }
    return bench.kernel.lockChecks.offences
  }

  private func faulting(_ bench: Bench) -> Fence {
    Fence(
      bench.kernel, operations: bench.driver, context: bench.contexts.allocate(), seqno: 1,
      isBehindFaults: true)
  }

  /// Serving a fault takes the mmap lock and waits for the copy engine's fences.
  private func serveFault(_ bench: Bench, _ mmap: SleepingLock) async {
    let copy = bench.fence()
    copy.signal()
    await bench.kernel.within(.faultService) { () async in
      await mmap.withLock { _ = await copy.wait() }
    }
  }

  @Test func faultServiceThatWaitsForCopies_isNoOffence() throws {
    let found = try offences { bench in
      let fence = faulting(bench)
      await serveFault(bench, SleepingLock(bench.kernel, .mmap))
      fence.signal()
      _ = await fence.wait()
    }
    #expect(found.isEmpty)
  }

  @Test func waitingUnderALockThatFaultServiceTakes_isACircle() throws {
    let found = try offences { bench in
      let mmap = SleepingLock(bench.kernel, .mmap)
      let fence = faulting(bench)
      fence.signal()
      await serveFault(bench, mmap)
      await mmap.withLock { _ = await fence.wait() }
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(
      found.first?.chain == [
        "mmap_lock -> fence behind page faults (main waits for a fence)",
        "fence behind page faults -> mmap_lock (main takes it there)",
      ])
  }

  @Test func publishing_isReported_alsoInsideContainers() throws {
    let found = try offences { bench in
      let fence = faulting(bench)
      _ = SyncFile(bench.contexts, fence)
      let merged = Fence.merge([fence, bench.fence()], in: bench.contexts)
      SyncObject(bench.contexts).replace(with: merged)
      fence.signal()
    }
    #expect(found.map(\.rule) == [.signalling])
    #expect(
      found.first?.chain == [
        "dma_fence -> fence behind page faults (main publishes it as a dma_fence)"
      ])
  }

  @Test func otherFencesThatWaitForOne_areReported() throws {
    let found = try offences { bench in
      let fence = faulting(bench)
      fence.signal()
      await bench.kernel.signalling { _ = await fence.wait() }
    }
    #expect(found.map(\.rule) == [.signalling])
  }

  /// A shrinker takes a driver's lock, under which the driver allocates.
  @Test func lockOfAShrinker_andAllocationUnderIt_areACircle() throws {
    let found = try offences { bench in
      let kernel = bench.kernel
      let lock = SleepingLock(kernel, LockClass(name: "pool", rank: 1000))
      await kernel.within(.reclaim) { () async in
        await kernel.within(.shrinker) { () async in await lock.withLock {} }
      }
      await lock.withLock { kernel.mightAllocate() }
    }
    #expect(found.map(\.rule) == [.cycle])
    let chain = try #require(found.first?.chain.joined(separator: ", "))
    #expect(chain.contains("pool -> fs_reclaim (main allocates with reclaim)"), "\(chain)")
    #expect(chain.contains("fs_reclaim -> pool (main takes it there)"), "\(chain)")
  }

  @Test func notifierThatWaitsForAFence_andAllocationWhileSignalling() throws {
    let found = try offences { bench in
      let kernel = bench.kernel
      let lock = SleepingLock(
        kernel, LockClass(name: "queue", rank: 1000, isAllowedWhileSignalling: true))
      let fence = bench.fence()
      fence.signal()
      await kernel.signalling { await lock.withLock {} }
      await kernel.within(.notifier) { () async in _ = await fence.wait() }
      await lock.withLock { kernel.mightAllocate(.atomic) }
      await lock.withLock { kernel.mightAllocate(.noShrinkers) }
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(found.first?.chain.count == 3, "\(found)")
  }
}
