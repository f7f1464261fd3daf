import KernelRuntime
import Testing

@Suite struct TimeTests {
  @Test func sleep_advancesTheVirtualClockOnly() throws {
    let kernel = Kernel()
    try kernel.run {
      await kernel.sleep(3_600_000_000_000)
      #expect(kernel.now == 3_600_000_000_000)
    }
  }

  @Test func timers_fireInOrderOfDeadlineThenOfMaking() throws {
    let kernel = Kernel()
    var log: [String] = []
    kernel.after(20, "late") { log.append("late") }
    kernel.after(10, "first") { log.append("first") }
    kernel.after(10, "second") { log.append("second") }
    try kernel.runUntilIdle()
    #expect(log == ["first", "second", "late"])
    #expect(kernel.now == 20)
  }

  @Test func cancelledTimer_neitherFiresNorMovesTime() throws {
    let kernel = Kernel()
    var fired = false
    let handle = kernel.after(1000, "x") { fired = true }
    handle.cancel()
    try kernel.runUntilIdle()
    #expect(!fired)
    #expect(handle.isCancelled)
    #expect(kernel.now == 0)
  }

  @Test func firedTimer_cantBeCancelled() throws {
    let kernel = Kernel()
    let handle = kernel.after(1, "x") {}
    try kernel.runUntilIdle()
    handle.cancel()
    #expect(!handle.isCancelled)
  }

  /// A walk may let time pass to a near event although a task could run, never to a far one.
  @Test func race_ofTimeAndTaskStaysWithinTheHorizon() throws {
    var early = 0
    for seed in UInt64(0)..<200 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      try kernel.run {
        kernel.after(1000, "near") {}
        let far = kernel.after(15_000_000_000, "far") {}
        // A cancelled near timer must not hide how far the next one is.
        kernel.after(2000, "cancelled") {}.cancel()
        for _ in 0..<10 { await kernel.point() }
        if kernel.now == 1000 { early += 1 }
        #expect(kernel.now <= 1000, "seed \(seed)")
        far.cancel()
      }
    }
    #expect(early > 20)
  }

  /// When a device that is ready has its turn, while a task polls for it with growing pauses; nil
  /// when the task gave up first.
  private func turn(
    _ choices: any Choices, limit: UInt64, horizon: UInt64? = nil
  ) throws -> UInt64? {
    let kernel = Kernel(choices: choices)
    if let horizon { kernel.raceHorizon = horizon }
    var doneAt: UInt64?
    let device = kernel.agent("device") { doneAt = kernel.now }
    return try kernel.run {
      device.kick()
      var pause: UInt64 = 1_000
      while doneAt == nil && kernel.now < limit {
        await kernel.sleep(pause)
        pause = min(2 * pause, 1_000_000)
      }
      return doneAt
    }
  }

  /// A task that polls with a pause doesn't carry the clock past its limit while a device that is
  /// ready waits for its turn, whatever the strategy likes.
  @Test(arguments: [true, false])
  func pollingTask_leavesNobodyStandingBeyondTheHorizon(isPCT: Bool) throws {
    var longest: UInt64 = 0
    for seed in UInt64(0)..<300 {
      let choices: any Choices =
        isPCT
        ? PCTChoices(seed: seed, depth: 3, steps: 4) : RandomWalkChoices(seed: seed)
      let done = try #require(
        try turn(choices, limit: 15_000_000_000), "seed \(seed): the device never had its turn")
      longest = max(longest, done)
      #expect(done <= 1_000_000, "seed \(seed)")
    }
    #expect(longest > 0, "no order held the device back at all")
  }

  /// What the bound is for: without it changing priorities hold the device back until the limit.
  @Test func horizonWithoutEnd_letsAnOrderStarveTheDevice() throws {
    let starved = try (UInt64(0)..<300).count { seed in
      let choices = PCTChoices(seed: seed, depth: 3, steps: 4)
      return try turn(choices, limit: 100_000_000, horizon: .max) == nil
    }
    #expect(starved > 0)
  }

  @Test func million_cancelledTimersLeaveNoHeap() throws {
    let kernel = Kernel()
    var live: WeakBox?
    try kernel.run {
      for _ in 0..<100_000 {
        let payload = Payload()
        if live == nil { live = WeakBox(payload) }
        kernel.after(15_000_000_000, "limit") { payload.touch() }.cancel()
      }
      #expect(live?.payload == nil)
    }
  }

  @Test func delayBeyondTheClock_meansNever() throws {
    let kernel = Kernel()
    try kernel.run {
      await kernel.sleep(10)
      let handle = kernel.after(.max, "never") {}
      await kernel.sleep(10)
      #expect(!handle.isCancelled)
      handle.cancel()
    }
    #expect(kernel.now == 20)
  }

  @Test func realTime_runsTheSameCode() throws {
    let kernel = Kernel(mode: .realTime)
    var log: [String] = []
    var copied = false
    try kernel.run {
      let done = Completion(kernel, "copy")
      let agent = kernel.agent("copy engine") { done.complete() }
      kernel.perform(cost: 1_000_000, then: agent) {}
      await done.wait()
      copied = true
      kernel.after(1000, "timer") { log.append("timer") }
      await kernel.sleep(2000)
      log.append("main")
    }
    #expect(copied)
    #expect(log == ["timer", "main"])
    #expect(kernel.now >= 2000)
  }

  /// The end of a wait may pass while the runtime works out how long to wait for it.
  @Test func realTime_waitsForEndsThatPassMeanwhile() throws {
    let kernel = Kernel(mode: .realTime)
    var slept = 0
    try kernel.run {
      for step in UInt64(0)..<20_000 {
        await kernel.sleep(2 * step)
        slept += 1
      }
    }
    #expect(slept == 20_000)
  }

  @Test func simulatedWork_takesItsCost() throws {
    let kernel = Kernel()
    try kernel.run {
      let done = Completion(kernel, "copy")
      let agent = kernel.agent("copy engine") { done.complete() }
      kernel.perform(cost: 777, then: agent) {}
      await done.wait()
      #expect(kernel.now == 777)
    }
  }
}

private final class Payload {
  private var touched = 0
  func touch() { touched += 1 }
}

private struct WeakBox {
  weak var payload: Payload?
  init(_ payload: Payload) { self.payload = payload }
}

@Suite struct LifetimeTests {
  /// A machine that is dropped after a run takes everything with it.
  @Test(arguments: [false, true])
  func kernel_isFreedWhenItsTasksHaveEnded(walks: Bool) throws {
    for seed in UInt64(0)..<20 {
      weak var freed: Kernel?
      do {
        let kernel = Kernel(
          choices: walks ? RandomWalkChoices(seed: seed) : FIFOChoices(), trace: Trace(isOn: true))
        freed = kernel
        let lock = SleepingLock(kernel, .dmem)
        let queue = WorkQueue(kernel, "queue")
        try kernel.run {
          queue.queue(Work("work") { await lock.withLock { await kernel.sleep(5) } })
          let task = kernel.spawn("task") { await lock.withLock { await kernel.point() } }
          kernel.after(3, "timer") {}
          await task.join()
          await queue.flush()
          let limit = kernel.after(1_000_000_000, "limit") {}
          limit.cancel()
        }
        try kernel.runUntilIdle()
      }
      #expect(freed == nil, "seed \(seed)")
    }
  }

  @Test func pendingTimers_dontKeepTheirKernel() {
    weak var freed: Kernel?
    do {
      let kernel = Kernel()
      freed = kernel
      kernel.after(10, "pending") {}
      _ = kernel.agent("idle") {}
    }
    #expect(freed == nil)
  }
}
