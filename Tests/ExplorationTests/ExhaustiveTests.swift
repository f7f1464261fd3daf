import Base
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct ExhaustiveTests {
  /// Two tasks of `count` steps each, all of them on one object or each task on its own.
  private func steps(_ count: Int, shared: Bool) -> TaskFlow {
    TaskFlow("steps", notesWhatIsShared: true) { run in
      let kernel = run.kernel
      for task in 0..<2 {
        run.task("task \(task)") {
          for _ in 0..<count {
            await kernel.point()
            kernel.touch(.data(shared ? 0 : UInt64(task)))
          }
        }
      }
    }
  }

  private func explore(
    _ flow: TaskFlow, _ preemptions: Int?, _ pruning: ExhaustiveChoices.Pruning = .none
  ) -> ExplorationReport {
    Exploration(
      .exhaustive(.init(preemptions: preemptions, pruning: pruning)), schedules: 1_000_000
    ).explore(flow)
  }

  /// Orders of two sequences of n + 1 stretches (a task begins before its first point), counted by
  /// how often they switch away from a task that could go on.
  private func expectedOrders(_ count: Int, preemptions: Int) -> Int {
    let stretches = count + 1
    func ways(_ left: Int, _ right: Int, _ bound: Int) -> Int {
      // `left` stretches remain of the running task, `right` of the other.
      if left == 0 { return right == 0 ? 1 : ways(right - 1, 0, bound) }
      let goesOn = ways(left - 1, right, bound)
      return goesOn + (right > 0 && bound > 0 ? ways(right - 1, left, bound - 1) : 0)
    }
    return 2 * ways(stretches - 1, stretches, preemptions)
  }

  @Test(arguments: 1...4, 0...3)
  func unpruned_runsEachOrderOnce(_ count: Int, _ preemptions: Int) {
    let report = explore(steps(count, shared: true), preemptions)
    #expect(report.coversBounds)
    #expect(report.schedules == expectedOrders(count, preemptions: preemptions))
    #expect(report.distinctOrders == report.schedules)
  }

  /// Two tasks run beside one another in a set-up, then as many steps as `steps(_:shared:)`.
  private func stepsAfterSetUp(_ count: Int, declares: Bool) -> TaskFlow {
    TaskFlow("steps after a set-up") { run in
      let kernel = run.kernel
      run.task("main") {
        if declares { run.beginSetUp() }
        let helper = kernel.spawn("helper") { for _ in 0..<3 { await kernel.point() } }
        for _ in 0..<3 { await kernel.point() }
        await helper.join()
        if declares { run.endSetUp() }
        for task in 0..<2 {
          run.task("task \(task)") { for _ in 0..<count { await kernel.point() } }
        }
      }
    }
  }

  @Test func setUp_isNotVaried() {
    let report = explore(stepsAfterSetUp(3, declares: true), 2)
    #expect(report.coversBounds)
    #expect(report.schedules == expectedOrders(3, preemptions: 2))
    #expect(explore(stepsAfterSetUp(3, declares: false), 2).schedules > report.schedules)
  }

  @Test func independentSteps_needOneOrder() {
    #expect(explore(steps(4, shared: false), nil, .none).schedules > 200)
    let pruned = explore(steps(4, shared: false), nil, .sleepSets)
    #expect(pruned.coversBounds)
    #expect(pruned.schedules <= 10, "\(pruned.summary)")
  }

  @Test func sleepSetsUnderABound_claimNothing() {
    #expect(!explore(steps(3, shared: true), 1, .sleepSets).coversBounds)
  }

  @Test func flowWithoutNotes_isNotPruned() {
    let flow = TaskFlow("silent") { run in
      let kernel = run.kernel
      for name in ["a", "b"] {
        run.task(name) {
          await kernel.point()
          await kernel.point()
        }
      }
    }
    #expect(
      explore(flow, nil, .sleepSets).schedules == explore(flow, nil, .none).schedules)
  }

  // MARK: pruning against no pruning, on random programs

  private enum Operation {
    case add(Int, Int)
    case copy(Int, Int)
    case lock(Int)
    case unlock(Int)
    case wake
    case wait
  }

  /// A program of two or three tasks over three variables, two locks and a queue.
  private struct Program {
    let tasks: [[Operation]]

    init(seed: UInt64) {
      var generator = SplitMix64(seed: seed)
      var tasks: [[Operation]] = []
      for _ in 0..<(2 + generator.below(2)) {
        var operations: [Operation] = []
        let limit = tasks.count < 2 ? 3 : 1
        while operations.count < limit {
          switch generator.below(8) {
          case 0, 1: operations.append(.add(generator.below(3), 1 + generator.below(9)))
          case 2: operations.append(.copy(generator.below(3), generator.below(3)))
          case 3:
            let lock = generator.below(2)
            operations += [.lock(lock), .add(2, 3), .unlock(lock)]
          case 4, 5:
            let lock = generator.below(2)
            operations += [.lock(lock), .lock(1 - lock), .unlock(1 - lock), .unlock(lock)]
          case 6: operations.append(.wake)
          default: operations.append(.wait)
          }
        }
        tasks.append(operations)
      }
      self.tasks = tasks
    }

    func flow(_ end: @escaping ([Int], [String]) -> Void) -> TaskFlow {
      TaskFlow("program", notesWhatIsShared: true) { run in
        let kernel = run.kernel
        let cells = Canary.Cell([1, 2, 3])
        let locks = [SleepingLock(kernel, Canary.pocket), SleepingLock(kernel, Canary.pocket)]
        let queue = WaitQueue(kernel, "queue")
        for (index, operations) in tasks.enumerated() {
          run.task("task \(index)") {
            for operation in operations {
              switch operation {
              case .add(let cell, let value):
                await kernel.point()
                kernel.touch(.data(UInt64(cell)))
                cells.value[cell] = (cells.value[cell] * 7 + value) % 1009
              case .copy(let from, let to):
                await kernel.point()
                kernel.touch(.data(UInt64(from)), writing: false)
                let value = cells.value[from]
                await kernel.point()
                kernel.touch(.data(UInt64(to)))
                cells.value[to] = value
              case .lock(let lock): await locks[lock].lock()
              case .unlock(let lock): locks[lock].unlock()
              case .wake: queue.wakeAll()
              case .wait:
                var hasSlept = false
                await queue.wait {
                  defer { hasSlept = true }
                  return hasSlept
                }
              }
            }
          }
        }
        run.atEnd { end(cells.value, kernel.blockedTasks().map(\.description)) }
      }
    }

    /// The distinct ends that a search reaches, sorted.
    func ends(_ bounds: ExhaustiveChoices.Bounds) -> (ends: [String], report: ExplorationReport) {
      let ends = Canary.Cell(Set<String>())
      let flow = flow { cells, blocked in ends.value.insert("\(cells) \(blocked)") }
      var plan = Exploration(.exhaustive(bounds), schedules: 100_000)
      plan.failureLimit = .max
      plan.shorteningLimit = 0
      let report = plan.explore(flow)
      return (ends.value.sorted(), report)
    }
  }

  @Test(arguments: 0..<40) func sleepSets_reachEveryEnd(_ seed: Int) {
    let program = Program(seed: UInt64(seed))
    let all = program.ends(.init(preemptions: nil))
    let pruned = program.ends(.init(preemptions: nil, pruning: .sleepSets))
    #expect(all.report.coversBounds && pruned.report.coversBounds)
    #expect(pruned.ends == all.ends, "program of seed \(seed)")
    #expect(pruned.report.schedules <= all.report.schedules)
  }

  @Test(arguments: 0..<40) func localSteps_reachEveryEndWithinTheBound(_ seed: Int) {
    let program = Program(seed: UInt64(seed))
    let all = program.ends(.init(preemptions: 1))
    let pruned = program.ends(.init(preemptions: 1, pruning: .localSteps))
    #expect(all.report.coversBounds && pruned.report.coversBounds)
    #expect(pruned.ends == all.ends, "program of seed \(seed)")
  }

  @Test func sleepSets_saveMostOrders() {
    var all = 0
    var pruned = 0
    for seed in 0..<10 {
      let program = Program(seed: UInt64(seed))
      all += program.ends(.init(preemptions: nil)).report.schedules
      pruned += program.ends(.init(preemptions: nil, pruning: .sleepSets)).report.schedules
    }
    #expect(pruned * 4 < all, "\(pruned) of \(all)")
  }

  // MARK: time, draws, bounds, shards

  @Test func time_isAnOptionWithinTheBound() throws {
    let flow = Canary.timeOut(looksAgain: false)
    // Time must pass while the device could go on, and the waiter stop where it gives up.
    #expect(explore(flow, 1).coversBounds && explore(flow, 1).findings.isEmpty)
    let finding = try #require(explore(flow, 2).findings.first)
    #expect(finding.offence.name == "late-event-lost")
  }

  @Test func draws_areEnumeratedWhenAsked() {
    let seen = Canary.Cell(Set<Int>())
    let flow = TaskFlow("dice") { run in
      run.task("thrower") {
        let sum = run.kernel.draw(below: 3, "first") * 10 + run.kernel.draw(below: 2, "second")
        seen.value.insert(sum)
      }
    }
    var bounds = ExhaustiveChoices.Bounds()
    bounds.drawOutcomes = 4
    let report = Exploration(.exhaustive(bounds), schedules: 100).explore(flow)
    #expect(report.coversBounds)
    #expect(seen.value.sorted() == [0, 1, 10, 11, 20, 21])
    #expect(report.schedules == 6)
  }

  @Test func decisionBound_isReportedAsACut() {
    var bounds = ExhaustiveChoices.Bounds()
    bounds.decisions = 3
    let report = Exploration(.exhaustive(bounds), schedules: 10_000).explore(
      steps(4, shared: true))
    #expect(report.isComplete)
    #expect(!report.coversBounds)
  }

  @Test func pollingTask_doesNotKeepOthersOut() {
    let flow = TaskFlow("poll") { run in
      let kernel = run.kernel
      let isDone = Canary.Cell(false)
      run.task("poller") { while !isDone.value { await kernel.yield() } }
      run.task("worker") {
        await kernel.point()
        isDone.value = true
      }
    }
    for strategy in [Strategy.exhaustive(.init()), .pct(depth: 3), .random] {
      let report = Exploration(strategy, schedules: 500).explore(flow)
      #expect(report.passed, "\(report.summary)")
    }
  }

  @Test func shards_coverTheWholeWithoutOverlap() throws {
    let whole = explore(steps(6, shared: true), 3).schedules
    var sum = 0
    for index in 1...4 {
      var plan = Exploration(.exhaustive(.init(preemptions: 3)), schedules: 1_000_000)
      plan.shard = try #require(Shard(index, of: 4))
      let report = plan.explore(steps(6, shared: true))
      #expect(report.schedules > 0)
      sum += report.schedules
    }
    #expect(sum == whole)
  }

  @Test func flowThatIsNotDeterministic_isNoticed() {
    let runs = Canary.Cell(0)
    let flow = TaskFlow("fickle") { run in
      let kernel = run.kernel
      runs.value += 1
      for task in 0..<(runs.value == 2 ? 3 : 2) {
        run.task("task \(task)") { await kernel.point() }
      }
    }
    let report = explore(flow, 2)
    #expect(report.divergence != nil)
    #expect(!report.passed)
  }
}
