import Base
import KernelRuntime

/// Fails every passage of every injection point of a flow, one at a time or in pairs.
///
/// The flow is run once to count its passages; then the 1st, 2nd, … n-th passage of each point
/// fails, with each error that the point can give, once and from then on. All runs go by the plain
/// order, or each by many orders (``orders``).
public struct Sweep: Sendable {
  /// Whether later passages fail as well.
  public enum Persistence: String, Sendable, CaseIterable {
    case once
    case fromThenOn = "from then on"
  }

  public var persistence: [Persistence] = [.once, .fromThenOn]
  /// Names of the points to fail; nil for all that the flow passes.
  public var points: [String]?
  /// Passages of a point that are failed one by one; beyond it every k-th, so that the last is
  /// among them.
  public var passageLimit: UInt64 = .max
  /// After each single failure, every later passage fails as well, once and with the usual error.
  public var pairs = false
  /// Bounds the number of pairs.
  public var pairLimit = 10_000
  /// Runs each failure under these orders instead of the plain one.
  public var orders: Exploration?
  public var seed: UInt64 = 0
  public var shard = Shard.whole
  public var stepLimit: UInt64 = 200_000

  /// Told before each failure, so that a trap can be traced back to it.
  public var announce: (@Sendable (_ injections: [Injection]) -> Void)?

  public init() {}

  /// Carries the sweep out.
  public func run(_ flow: any Flow) -> SweepReport {
    let runner = FlowRunner(flow)
    runner.stepLimit = stepLimit
    let plain = Schedule(seed: seed)
    let baseline = runner.replay(plain, isStrict: false)
    var report = SweepReport(flow: flow.name, baseline: baseline)
    var number = 0
    for single in singles(baseline, flow) {
      defer { number += 1 }
      guard shard.contains(number) else { continue }
      let (row, outcome) = run([single], flow, runner)
      report.rows.append(row)
      guard pairs, !single.persists, row.verdict != .invalid else { continue }
      for second in seconds(after: single, outcome, flow) {
        guard report.pairCount < pairLimit else {
          report.isCutShort = true
          break
        }
        report.pairCount += 1
        report.rows.append(run([single, second], flow, runner).0)
      }
    }
    return report
  }

  /// Every single failure, in the order of the points.
  private func singles(_ baseline: Outcome, _ flow: any Flow) -> [Injection] {
    var singles: [Injection] = []
    for passage in baseline.passages {
      if let points, !points.contains(passage.point.name) { continue }
      let errors = passage.point.errors.map(Optional.some)
      for nth in numbers(upTo: passage.count) {
        for error in errors.isEmpty ? [nil] : errors {
          for persistence in persistence {
            singles.append(
              Injection(
                passage.point, nth: nth, persists: persistence == .fromThenOn, error: error))
          }
        }
      }
    }
    return singles
  }

  private func numbers(upTo count: UInt64) -> [UInt64] {
    guard count > passageLimit, passageLimit > 0 else { return Array(1...max(count, 1)) }
    // Spread evenly, from the first to the last.
    let steps = max(passageLimit - 1, 1)
    var numbers: [UInt64] = []
    for index in 0..<passageLimit {
      let number = 1 + index * (count - 1) / steps
      if numbers.last != number { numbers.append(number) }
    }
    return numbers
  }

  /// The failures that can follow a first one: passages that the run with the first still makes.
  private func seconds(
    after single: Injection, _ outcome: Outcome, _ flow: any Flow
  ) -> [Injection] {
    var seconds: [Injection] = []
    for passage in outcome.passages {
      if let points, !points.contains(passage.point.name) { continue }
      let before = outcome.passagesAtFirstStrike.first { $0.point == passage.point }?.count ?? 0
      guard passage.count > before else { continue }
      for nth in numbers(upTo: passage.count - before) {
        seconds.append(Injection(passage.point, nth: before + nth))
      }
    }
    return seconds
  }

  private func run(
    _ injections: [Injection], _ flow: any Flow, _ runner: FlowRunner
  ) -> (SweepRow, Outcome) {
    announce?(injections)
    let outcome = runner.replay(
      Schedule(seed: seed), injections: injections, isStrict: false)
    var offences = outcome.offences
    var token = ReplayToken(flow: flow.name, schedule: outcome.schedule, injections: injections)
    var runs = 1
    if offences.isEmpty, var orders {
      orders.injections = injections
      orders.shard = .whole
      let report = orders.explore(flow)
      runs += report.schedules
      offences = report.findings.map(\.offence)
      if let finding = report.findings.first { token = finding.best }
    }
    let verdict: SweepRow.Verdict =
      !offences.isEmpty ? .failed : outcome.struck.contains(false) ? .invalid : .passed
    return (
      SweepRow(
        injections: injections, verdict: verdict, returned: outcome.returnedText,
        offences: offences, runs: runs, token: token), outcome
    )
  }
}
