import KernelRuntime

extension ExplorationReport {
  /// The report for a terminal: one line, then each finding with what repeats it
  /// and how many of its decisions differ from the plain order, then what no
  /// order reached.
  ///
  /// - Parameter command: what repeats a token.
  public func text(command: (ReplayToken) -> String) -> String {
    var lines = [
      "\(flow): \(schedules) schedules by \(plan.strategy.name), seed \(plan.seed)"
        + (plan.shard == .whole ? "" : ", shard \(plan.shard)")
        + ": \(distinctOrders) different orders, at most \(longestRun) decisions"
    ]
    if !plan.injections.isEmpty {
      lines.append("  with " + plan.injections.map(\.description).joined(separator: ", "))
    }
    for finding in findings {
      lines.append("  OFFENCE \(finding.offence)")
      let deviations = finding.best.schedule.deviations
      lines.append(
        "    first in schedule \(finding.schedule), in \(finding.count) of \(schedules);"
          + " \(deviations) decision\(deviations == 1 ? " that differs" : "s that differ")"
          + (finding.shortened == nil ? "" : " (found with \(finding.token.schedule.deviations))"))
      lines.append("    repeat: \(command(finding.best))")
    }
    if let divergence { lines.append("  NOT DETERMINISTIC: \(divergence)") }
    if findings.isEmpty && divergence == nil { lines.append("  \(verdict)") }
    for state in coverage.unreachedStates { lines.append("  never reached: \(state)") }
    for edge in coverage.unreachedEdges { lines.append("  never taken: \(edge)") }
    return lines.map { $0 + "\n" }.joined()
  }

  private var verdict: String {
    if !isComplete { return "stopped before the end" }
    guard case .exhaustive = plan.strategy else { return "no offence" }
    return coversBounds
      ? "no offence; no order within the bounds was left out"
      : "no offence; the bounds were not covered"
  }
}
