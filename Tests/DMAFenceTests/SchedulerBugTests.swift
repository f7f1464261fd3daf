import Base
import DMAFence
import KernelRuntime
import Testing

/// The catalogue's scheduler defects: each flow that once hung, leaked or freed twice.
@Suite struct SchedulerBugTests {
  /// S01, R103: who depends on a killed job goes on.
  @Test func dependentOfAKilledJob_stillRuns() throws {
    try explore(seeds: 0..<100) { bench in
      let b = SchedulerBench(bench, credits: 1)
      let blocker = try b.submit(b.entity(), 9)
      let killed = b.entity()
      let other = b.entity()
      let first = try finished(try b.submit(killed, 1, duration: 1000))
      let second = try finished(try b.submit(other, 2, duration: 1000, after: [first]))
      _ = await blocker.scheduled?.wait()
      await killed.kill()
      b.ring.completeNext()
      try require(await second.wait(timeout: 1_000_000_000).isSignaled, "the dependent job hangs")
      await b.end([other])
    }
  }

  /// S02: the predecessor is signalled already when the entity is killed.
  @Test func killAfterTheLastJobEnded_freesEachQueuedJobOnce() throws {
    try explore(seeds: 0..<100) { bench in
      let b = SchedulerBench(bench, credits: 1)
      let entity = b.entity()
      let first = try finished(try b.submit(entity, 0, duration: 1000))
      _ = await first.wait()
      let gate = bench.fence()
      let rest = try (1...3).map { try finished(try b.submit(entity, UInt64($0), after: [gate])) }
      await entity.kill()
      await bench.kernel.sleep(1000)
      try require(rest.allSatisfy { !$0.isSignaledFlag }, "ended before its dependency")
      gate.signal()
      for fence in rest {
        try require(await fence.wait(timeout: second).isSignaled, "\(fence) hangs")
        try require(fence.error == .ESRCH, "\(fence.status)")
      }
      await b.end()
      try require(b.ring.freed.sorted() == [0, 1, 2, 3], "freed \(b.ring.freed)")
    }
  }

  /// S06: an entity that never ran.
  @Test func killOfAnEntityThatNeverRan_doesntWait() throws {
    try flow { bench in
      let b = SchedulerBench(bench)
      await b.entity().kill()
      let unused = try finished(try b.submit(b.entity(), 1, duration: 10))
      _ = await unused.wait()
      await b.end()
    }
  }

  /// S08: a chain of three, each on the one before and on an external fence.
  @Test func killedChain_endsInOrderAfterItsDependencies() throws {
    try explore(seeds: 0..<100) { bench in
      let b = SchedulerBench(bench)
      let entities = (0..<3).map { _ in b.entity() }
      let gates = bench.fences(3)
      var fences: [Fence] = []
      for index in 0..<3 {
        let before = fences.last.map { [$0, gates[index]] } ?? [gates[index]]
        fences.append(try finished(try b.submit(entities[index], UInt64(index), after: before)))
      }
      for entity in entities { await entity.kill() }
      for index in [2, 0, 1] {
        gates[index].signal()
        await bench.kernel.point()
      }
      for fence in fences {
        _ = await fence.wait(timeout: second)
        try require(fence.isSignaledFlag && fence.error == .ESRCH, "\(fence): \(fence.status)")
      }
      await b.end()
      try require(b.ring.freed.sorted() == [0, 1, 2], "freed \(b.ring.freed)")
    }
  }

  /// S09: adding a dependency fails at each place in turn; the fences are unharmed.
  @Test func failingDependency_leavesEveryFenceAlone() throws {
    for failing in UInt64(1)...3 {
      try flow { bench in
        let b = SchedulerBench(bench)
        let object = Reservation(bench.contexts)
        let fences = bench.fences(3)
        await object.lock.lock()
        try object.reserve(3)
        for fence in fences { object.add(fence, .write) }
        let entity = b.entity()
        let job = try SchedulerJob(entity)
        bench.kernel.failures.arm(.userCopyAlloc, .nth(failing))
        #expect(throws: KernelError.ENOMEM) { try job.addDependencies(of: object, .write) }
        object.lock.unlock()
        for fence in fences { #expect(fence.signal(), "\(fence) after failure \(failing)") }
        await b.end([entity])
      }
    }
  }

  /// S11: credits that change between two looks must not leave the ring idle.
  @Test func changingCredits_leaveNoJobBehind() throws {
    try explore(seeds: 0..<100) { bench in
      let b = SchedulerBench(bench, credits: 4)
      b.ring.cost = { [unowned bench] _ in 1 + bench.kernel.draw(below: 4, "credits") }
      let entities = [b.entity(), b.entity()]
      let fences = try (0..<20).map {
        try finished(try b.submit(entities[$0 % 2], UInt64($0), duration: 1000))
      }
      for fence in fences {
        try require(await fence.wait(timeout: second).isSignaled, "\(fence): ring idle")
      }
      await bench.kernel.sleep(1000)
      try require(b.scheduler.creditsInUse == 0, "\(b.scheduler.creditsInUse) credits left")
      await b.end(entities)
    }
  }

  /// S12: one job stalled on the ring and two queued.
  @Test func teardown_endsEveryFence() throws {
    try explore(seeds: 0..<100) { bench in
      let b = SchedulerBench(bench, credits: 1)
      let entity = b.entity()
      let fences = try (0..<3).map { try finished(try b.submit(entity, UInt64($0))) }
      await bench.kernel.point()
      await b.scheduler.teardown()
      for fence in fences {
        try require(fence.status == .failed(.ECANCELED), "\(fence): \(fence.status)")
      }
      try require(b.ring.freed.sorted() == [0, 1, 2], "freed \(b.ring.freed)")
      try require(b.scheduler.creditsInUse == 0, "credits left")
      await entity.kill()
    }
  }

  /// R97: stop, reset, resubmit, start; the blamed job is cancelled, the others run again.
  @Test func recovery_cancelsTheGuiltyAndRunsTheRest() throws {
    try explore(seeds: 0..<60) { bench in
      let b = SchedulerBench(bench, timeout: 100 * millisecond)
      let bad = b.entity()
      let good = b.entity()
      b.ring.onTimeout = { [unowned b] job in
        b.scheduler.blame(job, bad)
        await b.scheduler.stop(job)
        b.ring.reset()
        b.ring.durations[2] = 1000
        await b.scheduler.resubmit()
        b.scheduler.start()
        return .reset
      }
      let hung = try finished(try b.submit(bad, 1))
      let fine = try finished(try b.submit(good, 2))
      let later = try finished(try b.submit(bad, 3))
      for fence in [hung, fine, later] {
        try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) hangs")
      }
      try require(hung.status == .failed(.ECANCELED), "hung: \(hung.status)")
      try require(fine.status == .signaled, "fine: \(fine.status)")
      try require(later.status == .failed(.ECANCELED), "later: \(later.status)")
      await b.end([bad, good])
      try require(b.ring.freed.sorted() == [1, 2, 3], "freed \(b.ring.freed)")
    }
  }

  @Test func runError_isTheJobsError() throws {
    try flow { bench in
      let b = SchedulerBench(bench)
      b.ring.runError = .EIO
      let entity = b.entity()
      let fence = try finished(try b.submit(entity, 1))
      #expect(await fence.wait(timeout: second).isSignaled)
      #expect(fence.status == .failed(.EIO))
      #expect(entity.error == .EIO)
      await b.end([entity])
    }
  }

  @Test func preparedFences_areWaitedForToo() throws {
    try flow { bench in
      let b = SchedulerBench(bench)
      let gate = bench.fence()
      b.ring.extra = { _ in gate.isSignaledFlag ? nil : gate }
      let entity = b.entity()
      let fence = try finished(try b.submit(entity, 1, duration: 10))
      #expect(await fence.wait(timeout: second) == .timedOut)
      gate.signal()
      #expect(await fence.wait(timeout: second).isSignaled)
      await b.end([entity])
    }
  }

  @Test func dependencies_keepTheLatestOfAContext() throws {
    try flow { bench in
      let b = SchedulerBench(bench)
      let context = bench.contexts.allocate()
      let early = bench.fence(1, context: context)
      let late = bench.fence(2, context: context)
      let entity = b.entity()
      let job = try b.submit(entity, 1, duration: 10, after: [late, early])
      early.signal()
      let done = try finished(job)
      #expect(await done.wait(timeout: second) == .timedOut)
      late.signal()
      #expect(await done.wait(timeout: second).isSignaled)
      await b.end([entity])
    }
  }

  /// A deadline given while the job is queued reaches the hardware's fence when there is one; a
  /// later one changes nothing, an earlier one is passed on, and "scheduled" has none.
  @Test func deadlineOfAQueuedJob_reachesTheHardware() throws {
    try explore(seeds: 0..<40) { bench in
      let b = SchedulerBench(bench, credits: 1)
      let entity = b.entity()
      try b.submit(entity, 1)
      let job = try b.submit(entity, 2)
      let done = try finished(job)
      done.setDeadline(500)
      done.setDeadline(900)
      job.scheduled?.setDeadline(1)
      while b.ring.ran != [1] { await bench.kernel.sleep(millisecond) }
      try require(b.ring.deadlines == [], "job 1 has \(b.ring.deadlines)")
      b.ring.completeNext()
      while job.parent == nil { await bench.kernel.sleep(millisecond) }
      try require(b.ring.deadlines == [500], "job 2 has \(b.ring.deadlines)")
      done.setDeadline(700)
      done.setDeadline(300)
      try require(b.ring.deadlines == [500, 300], "job 2 has \(b.ring.deadlines)")
      b.ring.completeNext()
      await b.end([entity])
    }
  }

  /// Nothing of a scheduler stays behind.
  @Test func teardown_leavesNoObject() throws {
    weak var scheduler: JobScheduler?
    weak var job: SchedulerJob?
    weak var entity: SchedulerEntity?
    try flow { bench in
      let b = SchedulerBench(bench, timeout: second)
      let made = b.entity()
      let pushed = try b.submit(made, 1, duration: 10)
      let killed = try b.submit(made, 2)
      (scheduler, job, entity) = (b.scheduler, pushed, made)
      let done = try finished(pushed)
      _ = await done.wait()
      _ = killed
      await b.end([made])
    }
    #expect(scheduler == nil && job == nil && entity == nil)
  }
}
