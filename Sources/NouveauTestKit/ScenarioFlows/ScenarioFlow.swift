public import Base
import KernelRuntime

/// A scenario as a flow of the explorer: every run builds a fresh machine and carries the steps out
/// under the run's choices and failures.
///
/// Without a failure from outside, all that the scenario expects must hold. Once one has struck,
/// steps may come back with errors, which the run reports as returned, while bytes still have to
/// equal the shadow copy, the audit has to hold, and nothing may hang; after the last step failures
/// stop, every page is read again, and the driver is unbound.
///
/// Offences go by these names: `step N` for a step that came back with something else than it
/// should, `expect N` for an expectation that doesn't hold, `bytes`, `audit PART`, and those of the
/// detectors.
public struct ScenarioFlow: Flow, Sendable {
  public let scenario: Scenario
  /// Counts states and edges of the migration's protocols, and marks such as ``MigrationMark``. It
  /// costs a trace in each run.
  public let countsCoverage: Bool
  private let plan: MachinePlan
  private let needsTrace: Bool
  private let fills: FillCache
  private let makeTarget: @Sendable (TargetRequest) throws(KernelError) -> any ScenarioTarget

  public var name: String { scenario.name }
  public var protocols: [ProtocolMap] { countsCoverage ? MigrationProtocol.maps : [] }

  /// - Parameter makeTarget: the machine; the project's own unless said otherwise.
  public init(
    _ scenario: Scenario, countsCoverage: Bool = false,
    makeTarget: @escaping @Sendable (TargetRequest) throws(KernelError) -> any ScenarioTarget = {
      request throws(KernelError) in try MachineTarget(request)
    }
  ) {
    self.scenario = scenario
    self.countsCoverage = countsCoverage
    self.makeTarget = makeTarget
    var plan = scenario.machine
    plan.isRealTime = false
    self.plan = plan
    fills = FillCache(scenario.steps)
    needsTrace = ScenarioRunner.needsTrace(scenario.steps)
  }

  public func run(_ run: FlowRun) throws {
    let isTracing = needsTrace || countsCoverage
    let trace = run.trace.isOn || !isTracing ? run.trace : Trace(isOn: true)
    var request = TargetRequest(plan: plan, isTracing: trace.isOn)
    request.choices = run.choices
    request.failures = run.failures
    request.trace = trace
    request.hostMemory = run.hostMemory
    let watch = countsCoverage ? MigrationWatch(run) : nil
    if let watch {
      let before = trace.observer
      trace.observer = { event in
        before?(event)
        watch.see(event)
      }
    }
    defer { if watch != nil { trace.observer = nil } }
    let target = try makeTarget(request)
    run.attach(target.kernel)
    run.canSignalFence { [unowned target] context, seqno in
      target.canSignalFence(context: context, seqno: seqno)
    }
    let session = RunSession(scenario, target, nil, flow: run, fills: fills)
    do throws(RunFailure) {
      try target.run { await session.main() }
    } catch {
      run.note(error)
      session.shadows = []
      target.abandon()
    }
    run.failures.observer = nil
    for mismatch in session.mismatches {
      run.offend(Self.offenceName(mismatch), Self.detail(mismatch))
    }
  }

  /// The command that repeats a run of the scenario.
  public func replayCommand(_ token: ReplayToken) -> String {
    "nouveau replay \(token) \(RunReport.quoted(scenario.file))"
  }

  /// The same for every run that shows the same thing.
  private static func offenceName(_ mismatch: Mismatch) -> String {
    guard mismatch.step == "end" else { return "step \(mismatch.step)" }
    if mismatch.title.hasPrefix("audit") {
      return "audit \(mismatch.got.prefix { $0 != ":" && $0 != " " })"
    }
    return mismatch.title.hasPrefix("bytes") ? "bytes" : "end"
  }

  private static func detail(_ mismatch: Mismatch) -> String {
    if mismatch.title.hasPrefix("audit") { return mismatch.got }
    return
      "\(mismatch.title) (\(mismatch.mark)): expected \(mismatch.expected), got \(mismatch.got)"
  }
}
