import Base
import DMAFence
import KernelRuntime
import Testing

/// Sections that a fence's signalling waits for, and what may not happen in them (R72–R75).
@Suite struct DisciplineTests {
  private func offences(_ body: @escaping (Bench) async -> Void) throws -> [LockOffence] {
    let bench = Bench()
    try bench.kernel.run { await body(bench) }
    return bench.kernel.lockChecks.offences
  }

  @Test func fenceWait_inASectionIsReported() throws {
    let found = try offences { bench in
      let other = bench.fence()
      other.signal()
      // It need not sleep to be wrong.
      await bench.kernel.signalling { _ = await other.wait() }
      _ = await other.wait()
    }
    #expect(found.map(\.rule) == [.signalling])
    #expect(
      found.first?.chain == [
        "dma_fence -> dma_fence (main waits for a fence in a signalling section)"
      ])
  }

  @Test func reservationLock_inASectionIsReportedWithItsChain() throws {
    let found = try offences { bench in
      let object = Reservation(bench.contexts)
      await bench.kernel.signalling { await object.lock.withLock {} }
    }
    #expect(found.map(\.rule) == [.signalling])
    #expect(
      found.first?.chain == [
        "dma_fence -> dma_resv lock (main takes it in a signalling section)",
        "dma_resv lock -> dma_fence (rule: fences are waited for under dma_resv)",
      ])
  }

  @Test func reclaim_inASectionIsReportedThroughNotifiers() throws {
    let found = try offences { bench in
      await bench.kernel.signalling {
        if let me = bench.kernel.currentTask { bench.kernel.lockChecks.mightReclaim(me) }
      }
    }
    #expect(found.map(\.rule) == [.signalling])
    #expect(found.first?.chain.count == 3)
    #expect(found.first?.description.contains("mmu_notifier -> dma_fence") == true)
  }

  @Test func triedLockAndAtomicWork_areNoOffence() throws {
    let found = try offences { bench in
      let lock = SleepingLock(bench.kernel, .channel)
      let spin = SpinLock("context")
      let fence = bench.fence()
      await bench.kernel.signalling {
        #expect(lock.tryLock())
        lock.unlock()
        _ = spin.withLock { fence.signal() }
        await bench.kernel.sleep(10)
      }
    }
    #expect(found.isEmpty)
  }

  @Test func sections_nestAndEndOnThrow() throws {
    let bench = Bench()
    let result = try bench.kernel.runThrowing { () async throws(KernelError) in
      try await bench.kernel.signalling { () async throws(KernelError) in
        await bench.kernel.signalling { #expect(bench.kernel.currentTask?.signallingDepth == 2) }
        throw .EIO
      }
    }
    #expect(throws: KernelError.EIO) { try result.get() }
    try bench.kernel.run {
      let cookie = bench.kernel.beginSignalling()
      #expect(bench.kernel.currentTask?.signallingDepth == 1)
      bench.kernel.endSignalling(cookie)
      #expect(bench.kernel.currentTask?.signallingDepth == 0)
    }
  }

  /// The circle is spread over two tasks and two locks; no run of either hangs.
  @Test func circleOverTwoLocks_isReportedOnce() throws {
    let outer = LockClass(name: "ring", rank: 1000, isAllowedWhileSignalling: true)
    let inner = LockClass(name: "list", rank: 1010, isAllowedWhileSignalling: true)
    let found = try offences { bench in
      let kernel = bench.kernel
      let ring = SleepingLock(kernel, outer)
      let list = SleepingLock(kernel, inner)
      let fence = bench.fence()
      fence.signal()
      for _ in 0..<3 {
        await list.withLock { _ = await fence.wait() }
        await ring.withLock { await list.withLock {} }
        await kernel.signalling { await ring.withLock {} }
      }
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(
      found.first?.chain == [
        "dma_fence -> ring (main takes it in a signalling section)", "ring -> list (main)",
        "list -> dma_fence (main waits for a fence)",
      ])
  }

  @Test func waitUnderALock_isFineAsLongAsSignallingDoesntNeedIt() throws {
    let found = try offences { bench in
      let lock = SleepingLock(bench.kernel, .dmem)
      let fence = bench.fence()
      bench.kernel.after(10, "irq") { fence.signal() }
      await lock.withLock { _ = await fence.wait() }
    }
    #expect(found.isEmpty)
  }
}
