import Base
import KernelRuntime
import Testing

@Suite struct SleepingLockTests {
  @Test func lock_excludesUnderEveryOrder() throws {
    for seed in UInt64(0)..<200 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      let lock = SleepingLock(kernel, .dmem)
      var inside = 0
      var most = 0
      try kernel.run {
        let tasks = (0..<4).map { index in
          kernel.spawn("t\(index)") {
            for _ in 0..<3 {
              await lock.withLock {
                inside += 1
                most = max(most, inside)
                await kernel.point()
                inside -= 1
              }
            }
          }
        }
        for task in tasks { await task.join() }
      }
      #expect(most == 1 && kernel.lockChecks.offences.isEmpty, "seed \(seed)")
    }
  }

  @Test func withLock_leavesOnThrow() throws {
    let kernel = Kernel()
    let lock = SleepingLock(kernel, .dmem)
    let result = try kernel.runThrowing { () async throws(KernelError) in
      try await lock.withLock { () async throws(KernelError) in throw .EIO }
    }
    #expect(throws: KernelError.EIO) { try result.get() }
    #expect(lock.owner == nil)
  }

  @Test func tryLock_neverSleeps() throws {
    let kernel = Kernel()
    let lock = SleepingLock(kernel, .dmem)
    try kernel.run {
      #expect(lock.tryLock())
      #expect(lock.isHeldByCurrent)
      let other = kernel.spawn("other") {
        #expect(!lock.tryLock())
        #expect(!lock.isHeldByCurrent)
      }
      await other.join()
      lock.unlock()
    }
  }

  @Test func unlockByAnother_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel()
      let lock = SleepingLock(kernel, .dmem)
      try kernel.run {
        await lock.lock()
        await kernel.spawn("thief") { lock.unlock() }.join()
      }
    }
  }
}

@Suite struct ReadWriteLockTests {
  @Test func readersShare_writersExclude() throws {
    for seed in UInt64(0)..<200 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      let lock = ReadWriteLock(kernel, .mmap)
      var readers = 0
      var writers = 0
      var isBroken = false
      try kernel.run {
        var tasks: [KernelTask] = []
        for index in 0..<3 {
          tasks.append(
            kernel.spawn("r\(index)") {
              await lock.withSharedLock {
                readers += 1
                isBroken = isBroken || writers > 0
                await kernel.point()
                readers -= 1
              }
            })
          tasks.append(
            kernel.spawn("w\(index)") {
              await lock.withLock {
                writers += 1
                isBroken = isBroken || writers > 1 || readers > 0
                await kernel.point()
                writers -= 1
              }
            })
        }
        for task in tasks { await task.join() }
      }
      #expect(!isBroken && kernel.lockChecks.offences.isEmpty, "seed \(seed)")
    }
  }

  @Test func waitingWriter_keepsNewReadersOut() throws {
    let kernel = Kernel()
    let lock = ReadWriteLock(kernel, .mmap)
    var log: [String] = []
    try kernel.run {
      await lock.lockShared()
      let writer = kernel.spawn("writer") { await lock.withLock { log.append("writer") } }
      await kernel.yield()
      #expect(!lock.tryLockShared())
      let reader = kernel.spawn("reader") { await lock.withSharedLock { log.append("reader") } }
      await kernel.yield()
      #expect(lock.isHeldOrSharedByCurrent && !lock.isHeldByCurrent)
      lock.unlockShared()
      await writer.join()
      await reader.join()
    }
    #expect(log == ["writer", "reader"])
  }
}

@Suite struct LockCheckTests {
  private func offences(
    _ body: @escaping (Kernel) async -> Void
  ) throws -> [LockOffence] {
    let kernel = Kernel()
    kernel.stepLimit = 10_000
    do { try kernel.run { await body(kernel) } } catch RunFailure.deadlock {}
    return kernel.lockChecks.offences
  }

  @Test func inversion_isFoundWithoutADeadlock() throws {
    let found = try offences { kernel in
      let inner = SleepingLock(kernel, .dmem)
      let outer = SleepingLock(kernel, .mmap)
      await inner.lock()
      await outer.lock()
      outer.unlock()
      inner.unlock()
    }
    #expect(found.map(\.rule).contains(.order))
    #expect(found.first { $0.rule == .order }?.holding == ["dmem mutex"])
  }

  @Test func risingOrder_isNoOffence() throws {
    let found = try offences { kernel in
      let locks = [LockClass.mmap, .page, .page, .svmm, .dmem].map { SleepingLock(kernel, $0) }
      for lock in locks { await lock.lock() }
      for lock in locks { lock.unlock() }
    }
    #expect(found.isEmpty)
  }

  @Test func tryingAgainstTheOrder_isNoOffence() throws {
    let found = try offences { kernel in
      let inner = SleepingLock(kernel, .dmem)
      let outer = SleepingLock(kernel, .mmap)
      await inner.lock()
      #expect(outer.tryLock())
      outer.unlock()
      inner.unlock()
    }
    #expect(found.isEmpty)
  }

  @Test func twoLocksOfAClassThatDoesntNest_areAnOffence() throws {
    let found = try offences { kernel in
      let one = SleepingLock(kernel, .dmem)
      let two = SleepingLock(kernel, .dmem)
      await one.lock()
      await two.lock()
      two.unlock()
      one.unlock()
    }
    #expect(found.map(\.rule) == [.order])
  }

  @Test func recursion_isNamedBeforeItHangs() throws {
    let found = try offences { kernel in
      let lock = SleepingLock(kernel, .dmem)
      await lock.lock()
      await lock.lock()
    }
    #expect(found.map(\.rule) == [.recursion])
  }

  @Test func lockHeldAtTheEnd_isAnOffence() throws {
    let found = try offences { kernel in
      let lock = SleepingLock(kernel, .dmem)
      await kernel.spawn("forgetful") { await lock.lock() }.join()
    }
    #expect(found.map(\.rule) == [.heldAtEnd])
    #expect(found.first?.task == "forgetful")
  }

  /// Neither flow hangs, and each alone is in order: the circle is in the two together.
  @Test func circle_ofLockAndFenceIsReportedWithItsChain() throws {
    let found = try offences { kernel in
      let own = LockClass(name: "job list", rank: 1000, isAllowedWhileSignalling: true)
      let lock = SleepingLock(kernel, own)
      await kernel.spawn("fence work") {
        kernel.currentTask?.beginSignalling()
        await lock.withLock {}
        kernel.currentTask?.endSignalling()
      }.join()
      await kernel.spawn("allocator") {
        await lock.withLock {
          if let me = kernel.currentTask { kernel.lockChecks.mightReclaim(me) }
        }
      }.join()
    }
    #expect(found.map(\.rule) == [.cycle])
    #expect(
      found.first?.chain == [
        "job list -> fs_reclaim (allocator allocates with reclaim)",
        "fs_reclaim -> mmu_notifier (rule: reclaim calls MMU notifiers)",
        "mmu_notifier -> dma_fence (rule: an MMU notifier may wait for a fence)",
        "dma_fence -> job list (fence work takes it in a signalling section)",
      ])
  }

  @Test func spinLockTakenTwice_traps() async {
    await #expect(processExitsWith: .failure) {
      let lock = SpinLock("context")
      lock.withLock { lock.withLock {} }
    }
  }

  @Test func spinLock_isLeftOnThrow() {
    let lock = SpinLock("context")
    #expect(throws: KernelError.EIO) {
      try lock.withLock { () throws(KernelError) in throw .EIO }
    }
    #expect(!lock.isHeld)
  }
}
