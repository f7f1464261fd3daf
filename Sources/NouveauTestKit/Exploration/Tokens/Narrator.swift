import KernelRuntime

/// Repeats a run and tells it line by line: every event of the trace, and between them every
/// decision that wasn't the usual one.
public struct Narrator {
  private let flow: any Flow
  /// Takes each line, without its end.
  private let tell: (String) -> Void

  public init(_ flow: any Flow, _ tell: @escaping (String) -> Void) {
    self.flow = flow
    self.tell = tell
  }

  /// Repeats the run; its offences, the failures that struck and a divergence come last.
  @discardableResult
  public func narrate(_ token: ReplayToken) -> Outcome {
    let trace = Trace(isOn: true)
    let tell = tell
    trace.observer = { [unowned trace] event in tell(trace.line(event)) }
    let runner = FlowRunner(flow)
    runner.observer = { index, current, chosen, decision in
      if let line = Self.line(index, current, chosen, decision) { tell(line) }
    }
    let outcome = runner.replay(token.schedule, injections: token.injections, trace: trace)
    for (injection, struck) in zip(token.injections, outcome.struck) {
      tell("-- failure \(injection): \(struck ? "struck" : "NEVER STRUCK")")
    }
    for item in outcome.returned { tell("-- \(item)") }
    if let divergence = outcome.divergence { tell("-- \(divergence)") }
    for offence in outcome.offences { tell("-- OFFENCE \(offence)") }
    if outcome.isClean { tell("-- no offence") }
    return outcome
  }

  private static func line(
    _ index: Int, _ current: Runnable?, _ chosen: Runnable?, _ decision: Decision
  ) -> String? {
    let head = "-- decision \(index): "
    switch decision.kind {
    case .usual: return nil
    case .draw(let value): return head + "a draw gives \(value)"
    case .time:
      return head + "time passes to the next event"
        + (current.map { " while \($0.name) could go on" } ?? "")
    case .runnable(let id):
      let name = chosen?.name ?? "runnable \(id)"
      return head
        + (current.map { "\($0.name) is preempted, \(name) goes" } ?? "\(name) goes first")
    }
  }
}
