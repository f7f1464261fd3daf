import Foundation
public import KernelRuntime

// For bodies of tests: each function throws one line that says how to see the failure again. When a
// token for the flow stands in the environment, the run that it names is all that is done.
extension Flow {
  /// Runs the flow under many orders; throws the first offence with its shortest run.
  @discardableResult
  public func holdsInOrders(
    _ count: Int = 10_000, _ strategy: Strategy = .random, seed: UInt64 = 0,
    with injections: [Injection] = [], test: String = #function
  ) throws -> ExplorationReport? {
    if try repeatRequested(test) { return nil }
    var plan = Exploration(strategy, schedules: count, seed: seed)
    plan.injections = injections
    let report = plan.explore(self)
    if let finding = report.findings.first {
      throw violation(
        "\(finding.offence) in schedule \(finding.schedule) of \(strategy.name), seed \(seed)",
        finding.best, test)
    }
    if let divergence = report.divergence { throw violation("\(divergence)", nil, test) }
    guard report.isComplete else { throw violation("the search stopped early", nil, test) }
    return report
  }

  /// As ``holdsInOrders(_:_:seed:with:test:)`` for every order within `bounds`; throws as well when
  /// `limit` runs don't suffice or pruning could have hidden something.
  @discardableResult
  public func holdsInAllOrders(
    _ bounds: ExhaustiveChoices.Bounds = .init(), limit: Int = 1_000_000, test: String = #function
  ) throws -> ExplorationReport? {
    guard let report = try holdsInOrders(limit, .exhaustive(bounds), test: test) else { return nil }
    guard report.coversBounds else {
      throw violation("\(report.schedules) runs didn't cover the bounds", nil, test)
    }
    return report
  }

  /// Fails every passage of every injection point; throws the first failure that isn't survived.
  @discardableResult
  public func survivesEachFailure(
    _ sweep: Sweep = Sweep(), test: String = #function
  ) throws -> SweepReport? {
    if try repeatRequested(test) { return nil }
    let report = sweep.run(self)
    if let offence = report.baseline.offences.first {
      throw violation("without any failure: \(offence)", nil, test)
    }
    guard report.total > 0 else { throw violation("no injection point is passed", nil, test) }
    if let row = report.firstProblem {
      let what = row.injections.map(\.description).joined(separator: ",")
      let why = row.offences.first.map(\.description) ?? "the failure never struck"
      throw violation("with \(what): \(why)", row.token, test)
    }
    return report
  }

  /// Some order reaches `mark`; returns the run that does.
  @discardableResult
  public func reaches(
    _ mark: String, within count: Int = 10_000, _ strategy: Strategy = .random, seed: UInt64 = 0,
    test: String = #function
  ) throws -> ReplayToken {
    var plan = Exploration(strategy, schedules: count, seed: seed)
    plan.failureLimit = .max
    plan.shorteningLimit = 0
    let report = plan.explore(self)
    guard let token = report.witness(of: mark) else {
      throw violation("none of \(report.schedules) orders reaches '\(mark)'", nil, test)
    }
    return token
  }

  /// Repeats one run; throws when it isn't the run that the token names, or shows no offence called
  /// `name`, or, with nil, any.
  @discardableResult
  public func replays(
    _ token: ReplayToken, showing name: String?, trace: Trace? = nil, test: String = #function
  ) throws -> Outcome {
    let outcome = FlowRunner(self).replay(
      token.schedule, injections: token.injections, trace: trace)
    if let divergence = outcome.divergence { throw violation("\(divergence)", token, test) }
    if let name {
      guard outcome.offences.contains(where: { $0.name == name }) else {
        throw violation("the run shows no '\(name)'", token, test)
      }
    } else if let offence = outcome.offences.first {
      throw violation("\(offence)", token, test)
    }
    return outcome
  }

  /// Two runs of one schedule are the same.
  public func isDeterministic(schedules: Int = 100, test: String = #function) throws {
    if let difference = DeterminismCheck(schedules: schedules).check(self) {
      throw violation("\(difference)", nil, test)
    }
  }

  /// Repeats the run that the environment asks for, if it is one of this flow.
  private func repeatRequested(_ test: String) throws -> Bool {
    guard let text = ProcessInfo.processInfo.environment[ReplayRequest.variable] else {
      return false
    }
    let token = try ReplayToken(parsing: text, points: points)
    guard token.flow == name else { return false }
    try replays(token, showing: nil, test: test)
    return true
  }

  private func violation(_ problem: String, _ token: ReplayToken?, _ test: String) -> FlowViolation
  {
    FlowViolation(
      flow: name, problem: problem, token: token.map(\.description),
      test: test.hasSuffix("()") ? String(test.dropLast(2)) : test)
  }
}
