import Base
import KernelRuntime

/// A plan for running a flow under many orders.
///
/// For each random strategy the n-th order depends on the seed and n alone: shards and a later run
/// that begins at n see the same orders. What each pruning of the exhaustive strategy promises is
/// said at ``ExhaustiveChoices/Pruning``.
public struct Exploration: Sendable {
  public var strategy: Strategy
  /// Orders to run; an exhaustive search may end before.
  public var schedules: Int
  public var seed: UInt64 = 0
  public var shard = Shard.whole
  /// The number of the first order, from 0.
  public var first = 0
  /// Failures in every run.
  public var injections: [Injection] = []
  /// Stops after so many runs with an offence. The tasks of a run that ends in a deadlock are never
  /// freed, so a large number costs memory.
  public var failureLimit = 1
  /// Runs spent on shortening each kind of offence; 0 to leave runs as they were found.
  public var shorteningLimit = 1000
  public var stepLimit: UInt64 = 200_000
  /// Told before each run, so that a trap can be traced back to its order.
  public var announce: (@Sendable (_ schedule: Int) -> Void)?

  public init(_ strategy: Strategy = .random, schedules: Int = 1000, seed: UInt64 = 0) {
    self.strategy = strategy
    self.schedules = schedules
    self.seed = seed
  }

  /// The seed of the n-th order.
  func seed(of number: Int) -> UInt64 {
    var generator = SplitMix64(
      seed: seed ^ UInt64(truncatingIfNeeded: number) &* 0xd1b5_4a32_d192_ed03)
    return generator.next()
  }
}

extension Exploration {
  /// Runs the flow under the plan's orders.
  public func explore(_ flow: any Flow) -> ExplorationReport {
    let runner = FlowRunner(flow)
    runner.stepLimit = stepLimit
    var report = ExplorationReport(plan: self, flow: flow)
    switch strategy {
    case .exhaustive(let bounds): exhaust(runner, bounds, &report)
    case .plain, .random, .pct: sample(runner, &report)
    }
    if shorteningLimit > 0 {
      for index in report.findings.indices {
        report.findings[index].shorten(runner, shorteningLimit)
      }
    }
    for index in report.findings.indices { report.findings[index].findOrigin(runner) }
    return report
  }

  private func sample(_ runner: FlowRunner, _ report: inout ExplorationReport) {
    // PCT places its changes by the length of runs; the first run goes by the plain order.
    var expectedSteps = 0
    if case .pct = strategy {
      expectedSteps =
        runner.replay(Schedule(seed: seed), injections: injections, isStrict: false)
        .schedule.decisionCount
    }
    let count = strategy == .plain ? min(schedules, 1) : schedules
    for number in first..<first + max(count, 0) where shard.contains(number) {
      let seed = seed(of: number)
      let choices: any Choices =
        switch strategy {
        case .pct(let depth): PCTChoices(seed: seed, depth: depth, steps: expectedSteps)
        case .plain: ReplayChoices(Schedule(seed: seed))
        case .random, .exhaustive: RandomWalkChoices(seed: seed)
        }
      announce?(number)
      report.add(runner.run(choices, seed: seed, injections: injections), number)
      if report.failures >= failureLimit { return }
    }
    report.isComplete = true
  }

  private func exhaust(
    _ runner: FlowRunner, _ asked: ExhaustiveChoices.Bounds, _ report: inout ExplorationReport
  ) {
    var bounds = asked
    if !runner.flow.notesWhatIsShared || !injections.isEmpty {
      // Without notes every two steps may depend on each other; and passages of an injection point
      // are counted across tasks, which no note says.
      bounds.pruning = .none
    }
    let search = ExhaustiveChoices(bounds, seed: seed, shard: (shard.index - 1, shard.count))
    var number = 0
    while number < schedules && search.next() {
      announce?(number)
      let outcome = runner.run(search, seed: seed, injections: injections)
      // An order of another shard was run only to see that it is one.
      if search.isOwnOrder { report.add(outcome, number) }
      number += 1
      if report.failures >= failureLimit { break }
    }
    report.isComplete = report.failures < failureLimit
    report.coversBounds = search.coversBounds
    report.divergence = search.divergence
  }
}
