public import KernelRuntime

/// What an exploration found.
public struct ExplorationReport: Sendable {
  public let flow: String
  public let plan: Exploration
  /// Orders run.
  public private(set) var schedules = 0
  /// Runs with an offence.
  public private(set) var failures = 0
  /// Each kind of offence once, in the order in which they were found.
  public internal(set) var findings: [Finding] = []
  public private(set) var coverage: Coverage
  /// Everything that some order reached, with the first order that did.
  public private(set) var reached: [Reached] = []
  /// The decisions of the longest run.
  public private(set) var longestRun = 0
  /// The plan was carried out to its end.
  public internal(set) var isComplete = false
  /// An exhaustive search has left out no outcome within its bounds.
  public internal(set) var coversBounds = false
  /// The flow did otherwise under the same choices, so that nothing here counts.
  public internal(set) var divergence: Divergence?
  private var orders: Set<UInt64> = []

  init(plan: Exploration, flow: any Flow) {
    self.plan = plan
    self.flow = flow.name
    coverage = Coverage(flow.protocols)
  }

  /// How many different orders were among the schedules.
  public var distinctOrders: Int { orders.count }

  /// No order of the plan falls to its part of the work.
  public var isEmptyPart: Bool {
    schedules == 0 && isComplete && plan.shard != .whole && divergence == nil
  }

  /// No offence, and the plan was carried out.
  public var passed: Bool { findings.isEmpty && isComplete && divergence == nil }

  mutating func add(_ outcome: Outcome, _ number: Int) {
    schedules += 1
    orders.insert(outcome.orderHash)
    longestRun = max(longestRun, outcome.schedule.decisionCount)
    if !coverage.maps.isEmpty { coverage.add(outcome.coverage) }
    for mark in outcome.marks {
      if let index = reached.firstIndex(where: { $0.name == mark.name }) {
        reached[index].count += mark.count
      } else {
        reached.append(
          Reached(
            name: mark.name, count: mark.count,
            token: token(outcome)))
      }
    }
    if outcome.offences.isEmpty { return }
    failures += 1
    var seen: [String] = []
    for offence in outcome.offences where !seen.contains(offence.name) {
      seen.append(offence.name)
      if let index = findings.firstIndex(where: { $0.offence.name == offence.name }) {
        findings[index].count += 1
      } else {
        findings.append(Finding(offence: offence, schedule: number, token: token(outcome)))
      }
    }
  }

  /// Adds another part of the same plan.
  mutating func join(_ part: ExplorationReport) {
    schedules += part.schedules
    failures += part.failures
    orders.formUnion(part.orders)
    longestRun = max(longestRun, part.longestRun)
    coverage.add(part.coverage)
    divergence = divergence ?? part.divergence
    for mark in part.reached {
      if let index = reached.firstIndex(where: { $0.name == mark.name }) {
        reached[index].count += mark.count
      } else {
        reached.append(mark)
      }
    }
    for finding in part.findings {
      guard let index = findings.firstIndex(where: { $0.offence.name == finding.offence.name })
      else {
        findings.append(finding)
        continue
      }
      // The first order of all shows the offence, whichever thread met it.
      let count = findings[index].count + finding.count
      if finding.schedule < findings[index].schedule { findings[index] = finding }
      findings[index].count = count
    }
  }

  /// Settles what only all parts together say.
  mutating func finishJoining(_ parts: [ExplorationReport]) {
    findings.sort { ($0.schedule, $0.offence.name) < ($1.schedule, $1.offence.name) }
    isComplete = parts.allSatisfy(\.isComplete)
    coversBounds = parts.allSatisfy(\.coversBounds)
  }

  private func token(_ outcome: Outcome) -> ReplayToken {
    ReplayToken(flow: flow, schedule: outcome.schedule, injections: plan.injections)
  }

  /// How an order reached `mark`; nil when none did.
  public func witness(of mark: String) -> ReplayToken? {
    reached.first { $0.name == mark }?.token
  }

  /// One line for a log.
  public var summary: String {
    let head = "\(flow): \(schedules) schedules (\(plan.strategy.name), seed \(plan.seed)"
    let tail = ", \(distinctOrders) orders, longest \(longestRun) decisions)"
    if let divergence { return "\(head)\(tail): not deterministic: \(divergence)" }
    if isEmptyPart { return "\(flow): no order falls to part \(plan.shard)" }
    if findings.isEmpty {
      return head + tail + (isComplete ? ": no offence" : ": stopped before the end")
    }
    return head + tail + ": " + findings.map(\.summary).joined(separator: "; ")
  }
}

/// A kind of offence, with the run that showed it first.
public struct Finding: Sendable {
  public internal(set) var offence: Offence
  /// The number of the order that showed it first.
  public let schedule: Int
  /// Runs that showed it.
  public internal(set) var count = 1
  /// The run as it was found.
  public let token: ReplayToken
  /// The shortest run with the same offence that was found from there.
  public internal(set) var shortened: ReplayToken?

  init(offence: Offence, schedule: Int, token: ReplayToken) {
    self.offence = offence
    self.schedule = schedule
    self.token = token
  }

  /// The token to print.
  public var best: ReplayToken { shortened ?? token }

  var summary: String {
    "\(offence) (schedule \(schedule), \(best.schedule.deviations) decisions that matter): \(best)"
  }

  mutating func shorten(_ runner: FlowRunner, _ limit: Int) {
    shortened = Shortener(runner, limit: limit).shorten(token, keeping: offence.name)?.token
  }

  /// Repeats the run that is printed with a trace, for the event that made the offence.
  mutating func findOrigin(_ runner: FlowRunner) {
    let again = runner.withOrigins([offence], of: best)
    if let same = again.first(where: { $0.name == offence.name }) { offence = same }
  }
}

/// Something that some order reached.
public struct Reached: Hashable, Sendable {
  public let name: String
  public internal(set) var count: UInt64
  /// The first run that did.
  public let token: ReplayToken
}
