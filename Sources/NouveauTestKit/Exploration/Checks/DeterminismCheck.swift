import KernelRuntime

/// Runs each schedule twice and compares: a flow that takes order, time or draws from anywhere but
/// the run it is given can't be replayed, and nothing that the kit says about it holds.
public struct DeterminismCheck: Sendable {
  /// The first difference between two runs of one schedule.
  public struct Difference: Error, Hashable, Sendable, CustomStringConvertible {
    /// The number of the schedule.
    public let schedule: Int
    public let explanation: String

    public var description: String {
      "uncontrolled nondeterminism in schedule \(schedule): \(explanation)"
    }
  }

  public var schedules: Int
  public var seed: UInt64

  public init(schedules: Int = 100, seed: UInt64 = 0) {
    self.schedules = schedules
    self.seed = seed
  }

  /// The first schedule whose second run differs; nil when none does.
  public func check(_ flow: any Flow) -> Difference? {
    let runner = FlowRunner(flow)
    var plan = Exploration(.random, schedules: schedules)
    plan.seed = seed
    for number in 0..<schedules {
      let seed = plan.seed(of: number)
      let first = Record(runner, seed)
      let second = Record(runner, seed)
      if let explanation = first.difference(to: second) {
        return Difference(schedule: number, explanation: explanation)
      }
    }
    return nil
  }

  private struct Record {
    let trace = Trace(isOn: true)
    let outcome: Outcome
    let decisions: [Decision]
    let checks: [UInt8]

    init(_ runner: FlowRunner, _ seed: UInt64) {
      outcome = runner.run(RandomWalkChoices(seed: seed), seed: seed, trace: trace)
      (decisions, checks) = runner.lastDecisions
    }

    func difference(to other: Record) -> String? {
      let common = min(decisions.count, other.decisions.count)
      for index in 0..<common
      where decisions[index] != other.decisions[index] || checks[index] != other.checks[index] {
        return "what could run at decision \(index) differs"
      }
      if decisions.count != other.decisions.count {
        return "\(decisions.count) decisions, then \(other.decisions.count)"
      }
      if outcome.orderHash != other.outcome.orderHash {
        return "what could run at the decisions differs"
      }
      if outcome.traceHash != other.outcome.traceHash {
        let mine = trace.events.map(trace.line)
        let theirs = other.trace.events.map(other.trace.line)
        for (line, again) in zip(mine, theirs) where line != again {
          return "the trace says '\(line)', then '\(again)'"
        }
        return "the trace has \(mine.count) events, then \(theirs.count)"
      }
      if outcome.offences != other.outcome.offences {
        return "offences differ: \(outcome.offences), then \(other.outcome.offences)"
      }
      return outcome.returned == other.outcome.returned ? nil : "errors returned differ"
    }
  }
}
