import Base
import DMAFence
import KernelRuntime
import NouveauTestKit

// Races of the job scheduler: each has works and agents of its own, so preemptions are bounded.
extension Race {
  /// Jobs are pushed and the entity is killed: each finishes once, in order, and is freed once.
  static let kill = Race(
    "push and kill", preemptions: 2,
    ends: ["ok ok", "ok ESRCH", "ESRCH ESRCH"]
  ) { run, bench in
    let ring = MockRing(bench)
    ring.durations = [1: 10, 2: 10]
    let scheduler = JobScheduler(run.kernel, "ring", ring, creditLimit: 1)
    let entity = SchedulerEntity(bench.contexts, [scheduler])
    let jobs = Shared<[Fence]>(run.kernel, 1, [])
    run.task("client") { () async throws(KernelError) in
      for tag: UInt64 in 1...2 {
        await run.kernel.point()
        let job = try SchedulerJob(entity, tag: tag)
        job.arm()
        if let finished = job.finished { jobs.value.append(finished) }
        job.push()
      }
    }
    run.task("killer") {
      await run.kernel.point()
      await entity.kill()
    }
    run.atEnd {
      let ends = jobs.value.map { $0.error?.name ?? ($0.isSignaledFlag ? "ok" : "pending") }
      run.expect(ring.freed.sorted() == [1, 2], "freed", "\(ring.freed)")
      run.mark(ends.joined(separator: " "))
      withExtendedLifetime(entity) {}
    }
  }

  /// The watchdog asks about a job in the moment in which it ends. One that is over and not freed
  /// yet may be asked about again, as in 6.12.
  static let watchdog = Race(
    "watchdog and completion", preemptions: 2,
    ends: [
      "ok, asked 0 times", "ok, asked 1 times", "ECANCELED, asked 1 times",
      "ECANCELED, asked 2 times",
    ]
  ) { run, bench in
    let ring = MockRing(bench)
    ring.durations = [1: 100]
    let scheduler = JobScheduler(run.kernel, "ring", ring, creditLimit: 1, timeout: 100)
    ring.onTimeout = { [unowned scheduler] job in
      await scheduler.stop(job)
      ring.reset()
      scheduler.start()
      return .reset
    }
    let entity = SchedulerEntity(bench.contexts, [scheduler])
    run.task("client") { () async throws(KernelError) in
      let job = try SchedulerJob(entity, tag: 1)
      job.arm()
      job.push()
      guard let finished = job.finished else { return }
      _ = await finished.wait()
      run.kernel.after(1000, "end") {
        run.mark("\(finished.error?.name ?? "ok"), asked \(ring.timedOutTags.count) times")
        run.expect(ring.freed == [1], "freed", "\(ring.freed)")
      }
    }
    run.atEnd { withExtendedLifetime(entity) {} }
  }

  /// The scheduler goes while a job is pushed: no fence stays pending.
  static let teardown = Race(
    "push and teardown", preemptions: 1, ends: ["ok", "ECANCELED", "never pushed"]
  ) { run, bench in
    let ring = MockRing(bench)
    ring.durations = [1: 10]
    let scheduler = JobScheduler(run.kernel, "ring", ring, creditLimit: 1)
    let entity = SchedulerEntity(bench.contexts, [scheduler])
    run.task("client") { () async throws(KernelError) in
      await run.kernel.point()
      if entity.isStopped || !scheduler.isReady {
        run.mark("never pushed")
        return
      }
      let job = try SchedulerJob(entity, tag: 1)
      job.arm()
      job.push()
      guard let finished = job.finished else { return }
      _ = await finished.wait()
      run.mark(finished.error?.name ?? "ok")
    }
    run.atEnd { withExtendedLifetime((ring, entity)) {} }
    run.task("teardown") {
      await run.kernel.point()
      await scheduler.teardown()
    }
  }

  static let scheduler = [kill, watchdog, teardown]
}
