import Base
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct SweepTests {
  @Test func sweep_failsEachPassageWithEachError() throws {
    let report = try #require(try Canary.unlock(forgets: false).survivesEachFailure())
    // Two passages of a point with two errors, one of a point with one, each once and from then on.
    #expect(report.rows.count == 2 * 2 * 2 + 1 * 1 * 2)
    #expect(report.passed)
    #expect(report.rows.allSatisfy { $0.returned != "ok" })
  }

  @Test func sweep_findsTheForgottenUnlock() throws {
    let flow = Canary.unlock(forgets: true)
    let report = Sweep().run(flow)
    #expect(report.baseline.isClean)
    let failed = report.rows.filter { $0.verdict == .failed }
    #expect(
      failed.map { $0.injections[0].description } == [
        "canary.alloc@2=ENOMEM", "canary.alloc@2+=ENOMEM", "canary.alloc@2=EBUSY",
        "canary.alloc@2+=EBUSY",
      ])
    let row = try #require(failed.first)
    #expect(row.offences.map(\.name) == ["lock.heldAtEnd"])
    let token = try ReplayToken(
      parsing: row.token.description, points: [Canary.allocation, Canary.mapping])
    #expect(token == row.token)
    try flow.replays(token, showing: "lock.heldAtEnd")
    #expect(throws: FlowViolation.self) { try flow.survivesEachFailure() }
  }

  @Test func table_hasPointNumberErrorReturnAndAudit() {
    var sweep = Sweep()
    sweep.persistence = [.once]
    let lines = sweep.run(Canary.unlock(forgets: true)).table.split(separator: "\n")
    #expect(
      lines.map(String.init) == [
        "point         n  error   returned  audit",
        "canary.alloc  1  ENOMEM  ENOMEM    clean",
        "canary.alloc  1  EBUSY   EBUSY     clean",
        "canary.alloc  2  ENOMEM  ENOMEM    FAILED: lock.heldAtEnd: "
          + "lock heldAtEnd: worker takes or leaves pocket while holding pocket",
        "canary.alloc  2  EBUSY   EBUSY     FAILED: lock.heldAtEnd: "
          + "lock heldAtEnd: worker takes or leaves pocket while holding pocket",
        "canary.map    1  EIO     EIO       clean",
      ])
  }

  /// Passes its point only in the first run, so that the failure asked for later never strikes.
  @Test func failureThatNeverStrikes_isInvalidAndNotPassed() {
    let runs = Canary.Cell(0)
    let flow = TaskFlow("fickle", points: [Canary.allocation]) { run in
      runs.value += 1
      let isFirst = runs.value == 1
      run.task("worker") { () throws(KernelError) in
        if isFirst { try run.failures.check(Canary.allocation) }
      }
    }
    let report = Sweep().run(flow)
    #expect(report.count(.invalid) == 4)
    #expect(!report.passed)
  }

  @Test func flowWithoutPoints_doesNotPass() {
    let flow = TaskFlow("nothing") { run in run.task("worker") {} }
    #expect(!Sweep().run(flow).passed)
    #expect(throws: FlowViolation.self) { try flow.survivesEachFailure() }
  }

  /// Retries once; loses its lock only when the retry fails as well.
  private func retrying() -> TaskFlow {
    TaskFlow("retrying", points: [Canary.allocation, Canary.mapping]) { run in
      let lock = SleepingLock(run.kernel, Canary.pocket)
      run.task("worker") { () throws(KernelError) in
        await lock.lock()
        do throws(KernelError) {
          try run.failures.check(Canary.allocation)
        } catch {
          try run.failures.check(Canary.mapping)
        }
        lock.unlock()
      }
    }
  }

  @Test func pair_findsWhatNoSingleFailureShows() throws {
    var sweep = Sweep()
    sweep.persistence = [.once]
    #expect(sweep.run(retrying()).passed)
    sweep.pairs = true
    let report = sweep.run(retrying())
    // Each of the two errors of the first point, then the one passage that only this run makes.
    #expect(report.pairCount == 2)
    #expect(report.count(.invalid) == 0)
    let row = try #require(report.firstProblem)
    #expect(row.injections.map(\.description) == ["canary.alloc@1=ENOMEM", "canary.map@1=EIO"])
  }

  /// What a flow passes after it has asked for silence can't fail: neither first nor second.
  @Test func passagesInSilence_areNotSwept() throws {
    let flow = TaskFlow("quiet end", points: [Canary.allocation]) { run in
      run.task("worker") { () throws(KernelError) in
        for _ in 0..<3 { try? run.failures.check(Canary.allocation) }
        run.failures.silence()
        for _ in 0..<3 { try run.failures.check(Canary.allocation) }
      }
    }
    var sweep = Sweep()
    sweep.persistence = [.once]
    sweep.pairs = true
    let report = sweep.run(flow)
    #expect(report.passed, "\(report.table)")
    #expect(report.baseline.passages.map(\.count) == [3])
    // Three passages with two errors each, and behind the first of them two others, behind the
    // second one.
    #expect(report.rows.count == 3 * 2 + (2 + 1) * 2)
  }

  @Test func orders_areExploredUnderEachFailure() throws {
    // Only when the first allocation fails do the two tasks race.
    let flow = TaskFlow("late race", points: [Canary.allocation]) { run in
      let kernel = run.kernel
      let count = Canary.Cell(0)
      let isSlow = Canary.Cell(false)
      do throws(KernelError) {
        try run.failures.check(Canary.allocation)
      } catch {
        isSlow.value = true
      }
      for name in ["a", "b"] {
        run.task(name) {
          let seen = count.value
          if isSlow.value { await kernel.point() }
          count.value = seen + 1
        }
      }
      run.atEnd { run.expect(count.value == 2, "lost-update") }
    }
    try flow.holdsInOrders(500)
    #expect(Sweep().run(flow).passed)
    var sweep = Sweep()
    sweep.orders = Exploration(.random, schedules: 200)
    let row = try #require(sweep.run(flow).firstProblem)
    #expect(row.offences.map(\.name) == ["lost-update"])
    try flow.replays(
      try ReplayToken(parsing: row.token.description, points: [Canary.allocation]),
      showing: "lost-update")
  }

  @Test func shards_sumUpToTheWhole() throws {
    let flow = Canary.unlock(forgets: true)
    let whole = Sweep().run(flow).rows.map { $0.injections.description }
    var parts: [String] = []
    for index in 1...3 {
      var sweep = Sweep()
      sweep.shard = try #require(Shard(index, of: 3))
      parts += sweep.run(flow).rows.map { $0.injections.description }
    }
    #expect(parts.sorted() == whole.sorted())
  }

  /// A flow may arm and take back failures of its own; those of the sweep stay.
  @Test func flowsOwnFailures_leaveTheSweepsAlone() {
    let flow = TaskFlow("own failures", points: [Canary.mapping]) { run in
      run.task("worker") { () throws(KernelError) in
        run.failures.arm(Canary.allocation, .always)
        run.expect(run.failures.rules.first?.point == Canary.allocation, "own-rule-first")
        run.failures.disarm()
        try run.failures.check(Canary.allocation)
        try run.failures.check(Canary.mapping)
      }
    }
    let report = Sweep().run(flow)
    #expect(report.passed, "\(report.table)")
    #expect(report.rows.map(\.returned) == ["EIO", "EIO"])
  }
}
