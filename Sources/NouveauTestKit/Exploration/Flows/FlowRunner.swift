public import Base
public import KernelRuntime

/// Runs a flow once, under any choices, and collects what came of it.
///
/// One runner serves many runs, one after the other; it keeps what can be kept between them.
public final class FlowRunner {
  public let flow: any Flow
  /// Steps without progress after which a run counts as a live-lock.
  public var stepLimit: UInt64 = 200_000
  /// Told of each decision; for narration.
  public var observer:
    ((_ index: Int, _ current: Runnable?, _ chosen: Runnable?, Decision) -> Void)?
  /// What machines of these runs are made of, one after the other.
  public let hostMemory = MemorySupply()
  private let recorder = RecordingChoices(ReplayChoices(Schedule()), seed: 0)

  public init(_ flow: any Flow) { self.flow = flow }

  /// Runs the flow under `choices`, whose usual draws come from `seed`.
  public func run(
    _ choices: any Choices, seed: UInt64, injections: [Injection] = [], trace: Trace? = nil
  ) -> Outcome {
    run(choices, seed: seed, injections: injections, trace: trace, log: nil)
  }

  private func run(
    _ choices: any Choices, seed: UInt64, injections: [Injection], trace: Trace?, log: PassageLog?
  ) -> Outcome {
    recorder.begin(choices, seed: seed)
    recorder.observer = observer
    let plan = FailurePlan()
    for injection in injections { injection.arm(plan) }
    let run = FlowRun(
      choices: recorder, failures: plan, trace: trace ?? Trace(), stepLimit: stepLimit,
      protocols: flow.protocols, hostMemory: hostMemory)
    if let log {
      run.passageLog = log
      plan.passageObserver = { [unowned run] in log.note($0, run.attached.last?.current) }
    }
    do {
      try flow.run(run)
    } catch let failure as RunFailure {
      run.note(failure)
    } catch let error as KernelError {
      run.returned(flow.name, error)
    } catch {
      run.offend("flow.error", "\(error)")
    }
    run.auditRuntime()
    plan.passageObserver = nil
    if let trace, trace.isOn {
      run.offences = run.offences.map { $0.withOrigin(in: trace, steps: run.eventsAtEnd ?? .max) }
    }
    defer { run.release() }
    return outcome(of: run, seed: seed, trace: trace)
  }

  /// Repeats a run. With `isStrict`, a run that isn't the same has a ``Outcome/divergence``.
  public func replay(
    _ schedule: Schedule, injections: [Injection] = [], isStrict: Bool = true, trace: Trace? = nil
  ) -> Outcome {
    replay(schedule, injections: injections, isStrict: isStrict, trace: trace, log: nil)
  }

  /// With `log`, the passages of injection points are written there.
  func replay(
    _ schedule: Schedule, injections: [Injection] = [], isStrict: Bool, trace: Trace? = nil,
    log: PassageLog?
  ) -> Outcome {
    var outcome = run(
      ReplayChoices(schedule), seed: schedule.seed, injections: injections, trace: trace, log: log)
    if isStrict { outcome.divergence = schedule.divergence(of: recorder) }
    return outcome
  }

  /// The decisions of the last run, and eight bits of what was seen up to each.
  var lastDecisions: ([Decision], [UInt8]) { (recorder.decisions, recorder.checks) }

  private func passages(_ count: (InjectionPoint) -> UInt64) -> [Passage] {
    flow.points.compactMap { point in
      let count = count(point)
      return count > 0 ? Passage(point: point, count: count) : nil
    }
  }

  private func outcome(of run: FlowRun, seed: UInt64, trace: Trace?) -> Outcome {
    let plan = run.failures
    let struck = plan.rules.filter(\.isPinned).map { $0.strikes > 0 }
    return Outcome(
      offences: run.offences, returned: run.returned,
      passages: plan.hasPassages ? passages(plan.passagesThatCanFail) : [], struck: struck,
      passagesAtFirstStrike: struck.contains(true) ? passages(plan.passagesAtFirstStrike) : [],
      marks: run.marks, coverage: run.coverage,
      schedule: recorder.schedule(seed: seed), orderHash: recorder.hash,
      traceHash: trace.map(\.hash) ?? 0,
      steps: run.attached.reduce(0) { $0 + $1.steps })
  }
}

extension Trace {
  /// A number for the whole trace that any difference in time, order, row or argument changes.
  public var hash: UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func mix(_ word: UInt64) {
      hash = (hash ^ word) &* 0x0000_0100_0000_01b3
      hash ^= hash >> 29
    }
    for event in events {
      for byte in event.kind.name.utf8 { mix(UInt64(byte)) }
      for word in [event.time, event.duration, event.a, event.b, event.c, event.d] { mix(word) }
      for byte in rows[event.row.index].name.utf8 { mix(UInt64(byte)) }
    }
    return hash
  }
}
