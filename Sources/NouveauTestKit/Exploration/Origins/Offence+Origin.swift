import KernelRuntime

extension Offence {
  /// With the event of the trace that touched the object last before the run was looked at, or
  /// else while it was.
  func withOrigin(in trace: Trace, steps: Int = .max) -> Offence {
    guard origin == nil,
      let event = trace.origin(of: detail, within: steps) ?? trace.origin(of: detail)
    else { return self }
    return Offence(name: name, detail: detail, origin: trace.words(event))
  }
}

extension Trace {
  /// An event as ``Trace/line(_:)`` has it, without the columns.
  func words(_ event: TraceEvent) -> String {
    line(event).split(separator: " ").joined(separator: " ")
  }
}

extension FlowRunner {
  /// The offences with the events that made them. Runs that hold keep no trace, so that finding out
  /// costs them nothing; a run that doesn't is repeated with one.
  func withOrigins(_ offences: [Offence], of token: ReplayToken) -> [Offence] {
    let again = replay(
      token.schedule, injections: token.injections, isStrict: false, trace: Trace(isOn: true),
      log: nil)
    // Unless it shows the same, its events say nothing.
    let names = again.offences.map(\.name)
    return offences.allSatisfy { names.contains($0.name) } ? again.offences : offences
  }
}
