import Base
import KernelRuntime
import Testing

@Suite struct SchedulingTests {
  /// Three tasks that log at each of three steps; the log is the schedule.
  private func schedule(_ choices: any Choices) throws -> [String] {
    let kernel = Kernel(choices: choices)
    var log: [String] = []
    try kernel.run {
      let tasks = ["a", "b", "c"].map { name in
        kernel.spawn(name) {
          for step in 0..<3 {
            await kernel.point()
            log.append("\(name)\(step)")
          }
        }
      }
      for task in tasks { await task.join() }
    }
    return log
  }

  @Test func fifo_runsEachTaskThrough() throws {
    let log = try schedule(FIFOChoices())
    #expect(log == ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"])
  }

  @Test func randomWalk_repeatsFromItsSeed() throws {
    for seed in UInt64(0)..<50 {
      let first = try schedule(RandomWalkChoices(seed: seed))
      let second = try schedule(RandomWalkChoices(seed: seed))
      #expect(first == second, "seed \(seed)")
      #expect(first.filter { $0.hasPrefix("a") } == ["a0", "a1", "a2"], "seed \(seed)")
      #expect(first.count == 9)
    }
  }

  @Test func randomWalk_reachesManyOrders() throws {
    var seen: Set<[String]> = []
    for seed in UInt64(0)..<300 { seen.insert(try schedule(RandomWalkChoices(seed: seed))) }
    #expect(seen.count > 150)
  }

  @Test func point_isWhereOthersGoFirst() throws {
    var seenBetween = 0
    for seed in UInt64(0)..<100 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      var shared = 0
      try kernel.run {
        let other = kernel.spawn("other") { shared += 1 }
        let before = shared
        let same = shared
        // Nothing runs between two awaits.
        #expect(before == same)
        await kernel.point()
        if shared != before { seenBetween += 1 }
        await other.join()
      }
    }
    #expect(seenBetween > 10 && seenBetween < 90)
  }

  @Test func yield_letsEveryReadyTaskGoFirst() throws {
    let kernel = Kernel()
    var log: [String] = []
    try kernel.run {
      kernel.spawn("a") { log.append("a") }
      kernel.spawn("b") { log.append("b") }
      await kernel.yield()
      log.append("main")
    }
    #expect(log == ["a", "b", "main"])
  }

  @Test func yield_aloneLetsTimePass() throws {
    let kernel = Kernel()
    var fired = false
    try kernel.run {
      kernel.after(500, "event") { fired = true }
      while !fired { await kernel.yield() }
      #expect(kernel.now == 500)
    }
  }

  @Test func agent_runsOncePerKickAndMergesPendingOnes() throws {
    let kernel = Kernel()
    var steps = 0
    let agent = kernel.agent("device") { steps += 1 }
    agent.kick()
    agent.kick()
    try kernel.runUntilIdle()
    #expect(steps == 1)
    agent.kick()
    agent.retire()
    try kernel.runUntilIdle()
    #expect(steps == 1)
    #expect(agent.isRetired)
  }

  @Test func run_returnsTheBodysValueAndLeavesOthers() throws {
    let kernel = Kernel()
    var wasLate = false
    let value = try kernel.run { () async -> Int in
      kernel.spawn("late") {
        await kernel.sleep(10)
        wasLate = true
      }
      return 42
    }
    #expect(value == 42)
    #expect(!wasLate)
    try kernel.runUntilIdle()
    #expect(wasLate)
  }

  @Test func runThrowing_handsTheErrorBack() throws {
    let kernel = Kernel()
    let result = try kernel.runThrowing { () async throws(KernelError) -> Int in
      await kernel.sleep(1)
      throw .ENODEV
    }
    #expect(result == .failure(.ENODEV))
  }

  @Test func draws_comeFromTheSeed() throws {
    func draws(_ seed: UInt64) -> [Int] {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      return (0..<20).map { _ in kernel.draw(below: 100, "test") }
    }
    #expect(draws(4) == draws(4))
    #expect(draws(4) != draws(5))
  }

  @Test func join_ofAFinishedTaskReturnsAtOnce() throws {
    let kernel = Kernel()
    try kernel.run {
      let task = kernel.spawn("quick") {}
      await task.join()
      #expect(task.isFinished)
      await task.join()
    }
  }
}

@Suite struct RunFailureTests {
  @Test func deadlock_namesWhoWaitsForWhat() throws {
    let kernel = Kernel()
    let first = SleepingLock(kernel, .mmap)
    let second = SleepingLock(kernel, .dmem)
    let failure = #expect(throws: RunFailure.self) {
      try kernel.run {
        let other = kernel.spawn("other") {
          await second.lock()
          await kernel.sleep(10)
          await first.lock()
        }
        await first.lock()
        await kernel.sleep(10)
        await second.lock()
        await other.join()
      }
    }
    #expect(
      failure?.description
        == "deadlock: main waits for dmem mutex, held by other and holds mmap_lock; "
        + "other waits for mmap_lock, held by main and holds dmem mutex")
  }

  @Test func stepLimit_endsALiveLock() throws {
    let kernel = Kernel()
    kernel.stepLimit = 1000
    let failure = #expect(throws: RunFailure.self) {
      try kernel.run {
        kernel.spawn("spinner") { while true { await kernel.yield() } }
        while true { await kernel.yield() }
      }
    }
    guard case .stepLimit(let steps, let running) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(steps == 1000)
    #expect(running == [.init(name: "main", steps: 250), .init(name: "spinner", steps: 250)])
    #expect(
      failure?.description
        == "no end within 1000 steps; of the last 500 steps main 250, spinner 250")
  }

  /// Those who ran long before the bound have no part in it, and progress begins the count anew.
  @Test func stepLimit_namesWhoRanLast() throws {
    let kernel = Kernel()
    kernel.stepLimit = 100
    let failure = #expect(throws: RunFailure.self) {
      try kernel.run {
        let early = kernel.spawn("early") { for _ in 0..<20 { await kernel.yield() } }
        let lucky = kernel.spawn("lucky") { for _ in 0..<60 { await kernel.yield() } }
        await early.join()
        await lucky.join()
        kernel.progress()
        for number in 0..<6 {
          kernel.spawn("spinner \(number)") { while true { await kernel.yield() } }
        }
        while true { await kernel.yield() }
      }
    }
    let text = try #require(failure).runners
    #expect(text.hasPrefix("of the last 50 steps "))
    #expect(text.hasSuffix(" and 3 others"))
    #expect(!text.contains("early") && !text.contains("lucky"))
  }

  @Test func stepLimit_losesNoOneWhoWasToRun() throws {
    let kernel = Kernel()
    var turns = 0
    var agent: Agent?
    agent = kernel.agent("polls") {
      turns += 1
      if turns < 100 { agent?.kick(after: 10) }
    }
    agent?.kick()
    kernel.stepLimit = 7
    var limits = 0
    while true {
      do {
        try kernel.runUntilIdle()
        break
      } catch {
        limits += 1
      }
    }
    #expect(turns == 100)
    #expect(limits > 10)
  }

  @Test func runUntilIdle_tellsWhoStillSleeps() throws {
    let kernel = Kernel()
    let queue = WaitQueue(kernel, "never")
    kernel.spawn("stuck") { await queue.wait { false } }
    let blocked = try kernel.runUntilIdle()
    #expect(blocked.map(\.description) == ["stuck waits for never"])
  }

  @Test func sleepOutsideATask_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel()
      let agent = kernel.agent("irq") { _ = SleepingLock(kernel, .dmem).tryLock() }
      agent.kick()
      try kernel.runUntilIdle()
    }
  }

  @Test func bodyOfAnotherActor_traps() async throws {
    let result = try await #require(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let kernel = Kernel()
      try kernel.run { @MainActor () async -> Void in }
    }
    let text = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(text.contains("left its machine") || text.contains("left the machine"))
  }

  @Test func runInsideARun_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel()
      try kernel.run { () async -> Void in
        do { try kernel.run {} } catch { invariantFailed("\(error)") }
      }
    }
  }
}
