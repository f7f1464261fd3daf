public import Base
import KernelRuntime

/// Runs scenarios on targets.
public struct ScenarioRunner {
  /// Makes a fresh target for one run.
  public typealias TargetMaker = (TargetRequest) throws(KernelError) -> any ScenarioTarget

  private let makeTarget: TargetMaker
  /// Told of each step; for progress and narration.
  public var observer: ((RunProgress) -> Void)?

  public init(makeTarget: @escaping TargetMaker) { self.makeTarget = makeTarget }

  /// Runs a scenario once. The target comes back for its trace; nil when it could not be made.
  public func run(_ scenario: Scenario, _ options: RunOptions = RunOptions())
    -> (report: RunReport, target: (any ScenarioTarget)?)
  {
    var plan = scenario.machine
    if let seed = options.seed { plan.seed = seed }
    if options.isRealTime { plan.isRealTime = true }
    let request = TargetRequest(
      plan: plan, isTracing: options.isTracing || Self.needsTrace(scenario.steps))
    let target: any ScenarioTarget
    do throws(KernelError) {
      target = try makeTarget(request)
    } catch {
      let mismatch = Mismatch(
        step: "start", title: "the machine comes up",
        mark: SourceMark(file: scenario.file, line: 1, column: 1), expected: "success",
        got: error.name)
      return (Self.report(scenario, plan, [mismatch]), nil)
    }
    let session = RunSession(scenario, target, observer, explains: options.explains)
    do throws(RunFailure) {
      try target.run { await session.main() }
    } catch {
      session.failAtEnd("the run", expected: "every task ends", got: error.description)
    }
    target.kernel.failures.observer = nil
    let mismatches = withOrigins(session.mismatches, scenario, target, plan, options)
    return (Self.report(scenario, plan, mismatches, session), target)
  }

  /// The audit's offences with the events that made them. A run that holds keeps no trace for it;
  /// one that doesn't is repeated with one, unless it went by the wall clock.
  private func withOrigins(
    _ mismatches: [Mismatch], _ scenario: Scenario, _ target: any ScenarioTarget,
    _ plan: MachinePlan, _ options: RunOptions
  ) -> [Mismatch] {
    guard mismatches.contains(where: \.isOfAudit) else { return mismatches }
    let trace = target.kernel.trace
    if trace.isOn { return mismatches.map { $0.withOrigin(in: trace) } }
    if plan.isRealTime { return mismatches }
    var options = options
    options.isTracing = true
    let again = ScenarioRunner(makeTarget: makeTarget).run(scenario, options).report.mismatches
    return again.map(\.got) == mismatches.map(\.got) ? again : mismatches
  }

  private static func report(
    _ scenario: Scenario, _ plan: MachinePlan, _ mismatches: [Mismatch],
    _ session: RunSession? = nil
  ) -> RunReport {
    RunReport(
      scenario: scenario.name, file: scenario.file, covers: scenario.covers, seed: plan.seed,
      isRealTime: plan.isRealTime, mismatches: mismatches, stepCount: session?.stepCount ?? 0,
      injected: session?.strikes.map { ($0.key.name, $0.count) } ?? [],
      counters: session.map { session in
        Schema.counters.compactMap { counter in
          session.target.counter(counter.name).map { (counter.name, $0) }
        }
      } ?? [],
      duration: session?.target.kernel.now ?? 0,
      migrations: session.flatMap { $0.explains ? $0.migrations : nil })
  }

  static func needsTrace(_ steps: [Step]) -> Bool {
    steps.contains { step in
      switch step.action {
      case .expect(let expectation): expectation.trace != nil || expectation.fences != nil
      case .parallel(let branches): branches.contains { needsTrace($0.steps) }
      case .spawn(let branch): needsTrace(branch.steps)
      case .repeated(_, let steps): needsTrace(steps)
      default: false
      }
    }
  }
}
