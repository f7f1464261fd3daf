import Base
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct ReachabilityTests {
  private static let map = ProtocolMap(
    "page", states: ["ram", "migrating", "device", "poisoned"],
    edges: [
      ("ram", "migrating"), ("migrating", "device"), ("migrating", "ram"), ("device", "migrating"),
      ("device", "poisoned"),
    ])

  /// A migration that a fault undoes when it comes in between.
  private func migration() -> TaskFlow {
    TaskFlow("migration", protocols: [Self.map]) { run in
      let kernel = run.kernel
      let place = Canary.Cell(0)
      func move(_ state: Int) {
        place.value = state
        run.enter(state)
      }
      move(0)
      run.task("migrate") {
        await kernel.point()
        move(1)
        await kernel.point()
        if place.value == 1 { move(2) }
      }
      run.task("fault") {
        await kernel.point()
        if place.value == 1 {
          run.mark("fault during migration")
          move(0)
        }
      }
    }
  }

  @Test func someOrder_reachesTheMark() throws {
    let token = try migration().reaches("fault during migration", within: 200)
    let outcome = try migration().replays(token, showing: nil)
    #expect(outcome.marks.map(\.name) == ["fault during migration"])
    #expect(throws: FlowViolation.self) { try migration().reaches("nothing", within: 50) }
  }

  @Test func report_listsWhatNoOrderReached() {
    let report = Exploration(.random, schedules: 300).explore(migration())
    #expect(report.passed, "\(report.summary)")
    #expect(report.coverage.unreachedStates == ["page: poisoned"])
    #expect(
      report.coverage.unreachedEdges == [
        "page: device -> migrating", "page: device -> poisoned",
      ])
    #expect(report.coverage.edges[0][0] == 300)
    #expect(report.coverage.edges[0][1] + report.coverage.edges[0][2] == 300)
    #expect(report.coverage.text.contains("poisoned  never"))
  }

  @Test func plainOrder_reachesLess() {
    let report = Exploration(.plain).explore(migration())
    #expect(report.coverage.unreachedEdges.contains("page: migrating -> ram"))
  }

  @Test func edgeThatTheMapLacks_isAnOffence() {
    let flow = TaskFlow("jump", protocols: [Self.map]) { run in
      run.enter(0, object: 7)
      run.enter(2, object: 7)
    }
    let outcome = FlowRunner(flow).replay(Schedule())
    #expect(
      outcome.offences.map(\.description) == [
        "protocol.unknown-edge: page: ram -> device of object 7"
      ])
  }
}

@Suite struct DetectorTests {
  @Test func lockOrder_findsACircleOverTwoRuns() {
    var order = LockOrder()
    let inner = LockClass(name: "inner", rank: 910, nests: true)
    for reversed in [false, true] {
      let kernel = Kernel()
      let a = SleepingLock(kernel, reversed ? inner : Canary.pocket)
      let b = SleepingLock(kernel, reversed ? Canary.pocket : inner)
      kernel.spawn(reversed ? "backward" : "forward") {
        await a.lock()
        await b.lock()
        b.unlock()
        a.unlock()
      }
      #expect(throws: Never.self) { try kernel.runUntilIdle() }
      order.add(kernel.lockChecks)
      #expect(order.circles.count == (reversed ? 1 : 0))
    }
    #expect(
      order.offences.map(\.description) == [
        "lock.order-circle: pocket -> inner (forward), inner -> pocket (backward)"
      ])
  }

  @Test func deadlock_behindACircleIsNamed() throws {
    let flow = TaskFlow("queue behind") { run in
      let kernel = run.kernel
      let locks = [SleepingLock(kernel, Canary.pocket), SleepingLock(kernel, Canary.pocket)]
      for (name, first) in [("left", 0), ("right", 1)] {
        run.task(name) {
          await locks[first].lock()
          await kernel.sleep(10)
          await locks[1 - first].lock()
        }
      }
      run.task("third") {
        await kernel.sleep(20)
        await locks[0].lock()
      }
    }
    let outcome = FlowRunner(flow).replay(Schedule())
    let offence = try #require(outcome.offences.first)
    #expect(offence.name == "deadlock")
    #expect(offence.detail.hasSuffix("; behind them third"))
  }

  @Test func lockOfATaskThatEnded_isNamedAsTheCause() {
    let flow = TaskFlow("forgotten") { run in
      let lock = SleepingLock(run.kernel, Canary.pocket)
      run.task("forgetful") { await lock.lock() }
      run.task("waiter") { await lock.lock() }
    }
    let outcome = FlowRunner(flow).replay(Schedule())
    #expect(outcome.offences.map(\.name) == ["hang.lock-never-released", "lock.heldAtEnd"])
    #expect(outcome.offences.first?.detail == "waiter waits for pocket, held by forgetful")
  }

  /// The wait would end by its limit, so that nothing hangs; but nobody is left to signal.
  @Test func fenceThatNobodyCanSignal_isFoundBeforeItsTimeOut() throws {
    func flow(isEmitted: Bool) -> TaskFlow {
      TaskFlow("fence") { run in
        let kernel = run.kernel
        let queue = WaitQueue(kernel, "fence")
        let isSignalled = Canary.Cell(false)
        let isPending = Canary.Cell(isEmitted)
        run.canSignalFence { _, _ in isPending.value }
        run.task("waiter") {
          _ = await queue.wait(timeout: 15_000_000_000, for: .fence(context: 3, seqno: 9)) {
            isSignalled.value
          }
        }
        if isEmitted {
          kernel.after(500, "device") {
            isSignalled.value = true
            isPending.value = false
            queue.wakeAll()
          }
        }
      }
    }
    #expect(FlowRunner(flow(isEmitted: true)).replay(Schedule()).isClean)
    let outcome = FlowRunner(flow(isEmitted: false)).replay(Schedule())
    #expect(
      outcome.offences.map(\.description) == [
        "fence.nobody-signals: waiter waits for fence 3:9, which nobody can signal"
      ])
  }

  @Test func sleepingLockInASignallingSection_isAnOffence() throws {
    let flow = TaskFlow("signal") { run in
      let kernel = run.kernel
      let lock = SleepingLock(kernel, Canary.pocket)
      run.task("driver") {
        kernel.currentTask?.beginSignalling()
        await lock.lock()
        lock.unlock()
        kernel.currentTask?.endSignalling()
      }
    }
    let outcome = FlowRunner(flow).replay(Schedule())
    #expect(outcome.offences.map(\.name) == ["lock.signalling"])
  }

  @Test func hiddenState_isUncontrolledNondeterminism() throws {
    let runs = Canary.Cell(0)
    let flow = TaskFlow("fickle") { run in
      let kernel = run.kernel
      runs.value += 1
      let count = runs.value.isMultiple(of: 6) ? 3 : 2
      for task in 0..<2 {
        run.task("task \(task)") { for _ in 0..<count { await kernel.point() } }
      }
    }
    let difference = try #require(DeterminismCheck(schedules: 10).check(flow))
    #expect(difference.schedule == 2)
    #expect(throws: FlowViolation.self) { try flow.isDeterministic() }
  }

  @Test func pct_keepsItsPromise() {
    // Two tasks, so n = 2; the lost update has depth 2: chance at least 1 / (n k) a run.
    let flow = Canary.bank(locked: false)
    let k = FlowRunner(flow).replay(Schedule()).schedule.decisionCount
    var plan = Exploration(.pct(depth: 2), schedules: 2000)
    plan.failureLimit = .max
    plan.shorteningLimit = 0
    let report = plan.explore(flow)
    #expect(report.failures * 2 * k >= report.schedules, "\(report.failures), k = \(k)")
  }
}
