import Base
public import DequeModule

/// Passes another strategy's answers on and keeps them, so that the run can be repeated.
///
/// One object serves many runs: ``begin(_:seed:)`` makes it ready for the next.
public final class RecordingChoices: Choices {
  private var inner: any Choices
  private var data: SplitMix64
  private var context = DecisionContext()
  /// Every answer where there was more than one option, oldest first.
  public private(set) var decisions: [Decision] = []
  /// For each decision eight bits of what was seen up to it; differs when a repetition went astray.
  public private(set) var checks: [UInt8] = []
  /// Told of each decision before it takes effect; for narration. Draws have no runnables.
  public var observer:
    ((_ index: Int, _ current: Runnable?, _ chosen: Runnable?, Decision) -> Void)?

  /// - Parameter seed: of the usual draws; ``SplitMix64`` streams that differ are recorded.
  public init(_ inner: any Choices, seed: UInt64) {
    self.inner = inner
    data = .dataDraws(seed: seed)
    hasFootprints = inner.footprints
  }

  private var hasFootprints: Footprints?

  /// Forgets the last run and records the next one's answers, which `inner` gives.
  public func begin(_ inner: any Choices, seed: UInt64) {
    self.inner = inner
    hasFootprints = inner.footprints
    data = .dataDraws(seed: seed)
    context = DecisionContext()
    decisions.removeAll(keepingCapacity: true)
    checks.removeAll(keepingCapacity: true)
  }

  /// A number for the whole run: who could run at each decision, and who did.
  public var hash: UInt64 { context.hash }

  // A plain order recorded as one that could have been otherwise has the same decisions as any
  // other run of the same flow.
  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }
  public var footprints: Footprints? { hasFootprints }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    context.see(current: current, ready: ready, timeMayPass: timeMayPass)
    let pick = inner.pick(current: current, ready: ready, timeMayPass: timeMayPass)
    let decision = Decision(pick, current: current, ready: ready)
    if let observer {
      var chosen = current
      if case .ready(let index) = pick { chosen = ready[index] }
      observer(decisions.count, current, pick == .time ? nil : chosen, decision)
    }
    keep(decision)
    return pick
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int {
    context.see(bound: bound)
    let usual = data.below(bound)
    let value = inner.draw(below: bound, label)
    let decision = value == usual ? Decision.usual : .draw(value)
    if let observer { observer(decisions.count, nil, nil, decision) }
    keep(decision)
    return value
  }

  public func yields(_ task: Runnable) { inner.yields(task) }
  public func setsUp(_ isSettingUp: Bool) { inner.setsUp(isSettingUp) }

  private func keep(_ decision: Decision) {
    checks.append(UInt8(truncatingIfNeeded: context.hash >> 32))
    context.mix(UInt64(decision.raw))
    decisions.append(decision)
  }

  /// The run's choices as a value.
  public func schedule(seed: UInt64) -> Schedule {
    var entries: [Schedule.Entry] = []
    for (index, decision) in decisions.enumerated() where decision != .usual {
      entries.append(Schedule.Entry(index: index, decision: decision, check: checks[index]))
    }
    return Schedule(
      seed: seed, entries: entries, decisionCount: decisions.count,
      hash: UInt32(truncatingIfNeeded: context.hash >> 32))
  }
}
