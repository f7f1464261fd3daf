import Base
import Dispatch
import KernelRuntime
import Synchronization

/// Fails every passage of every injection point of a flow, one at a time or in pairs.
///
/// The flow is run once to count its passages; then the 1st, 2nd, … n-th passage of each point
/// fails, with each error that the point can give, once and from then on. All runs go by the plain
/// order, or each by many orders (``orders``). A flow that shows an offence without any failure is
/// not swept.
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
  /// Of passages that are alike (``SweepReport/leftOut``) so many fail: the first, the last and
  /// others spread between. Nil to fail all.
  public var sample: Int?
  /// A flow with no more single failures than this is swept whole although ``sample`` is set.
  public var sampleAbove = 0
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
    let runner = makeRunner(flow)
    var (report, plan) = begin(runner)
    for single in plan { report.add(run(single, runner, pairsLeft: pairLimit - report.pairCount)) }
    return report
  }

  /// As ``run(_:)`` on `jobs` threads, each with a flow of its own. The report is the same, but
  /// that a sweep of pairs that meets its bound may leave out others.
  public func run(jobs: Int, _ makeFlow: @escaping @Sendable () -> any Flow) -> SweepReport {
    guard jobs > 1 else { return run(makeFlow()) }
    var (report, plan) = begin(makeRunner(makeFlow()))
    let singles = plan
    let next = Mutex(0)
    let done = Mutex([Part?](repeating: nil, count: singles.count))
    DispatchQueue.concurrentPerform(iterations: jobs) { _ in
      let runner = makeRunner(makeFlow())
      var pairsLeft = pairLimit / jobs
      while true {
        let index = next.withLock { next in
          defer { next += 1 }
          return next
        }
        guard index < singles.count else { return }
        let part = run(singles[index], runner, pairsLeft: pairsLeft)
        pairsLeft -= part.pairCount
        done.withLock { $0[index] = part }
      }
    }
    for part in done.withLock({ $0 }) { if let part { report.add(part) } }
    return report
  }

  private func makeRunner(_ flow: any Flow) -> FlowRunner {
    let runner = FlowRunner(flow)
    runner.stepLimit = stepLimit
    return runner
  }

  /// The run without failures, and the failures that this shard has to do.
  private func begin(_ runner: FlowRunner) -> (SweepReport, [Injection]) {
    let log = sample == nil ? nil : PassageLog()
    var baseline = runner.replay(Schedule(seed: seed), isStrict: false, log: log)
    if !baseline.offences.isEmpty {
      // What fails by itself says nothing of failures.
      let token = ReplayToken(flow: runner.flow.name, schedule: baseline.schedule)
      baseline.offences = runner.withOrigins(baseline.offences, of: token)
      return (SweepReport(flow: runner.flow.name, baseline: baseline), [])
    }
    var report = SweepReport(flow: runner.flow.name, baseline: baseline)
    let all = singles(baseline, log, &report)
    report.shard = shard
    report.total = all.count
    return (report, all.enumerated().filter { shard.contains($0.offset) }.map(\.element))
  }

  /// A failure, and the pairs that begin with it.
  struct Part: Sendable {
    var rows: [SweepRow]
    var pairCount = 0
    var isCutShort = false
  }

  private func run(_ single: Injection, _ runner: FlowRunner, pairsLeft: Int) -> Part {
    let (row, outcome) = run([single], runner)
    var part = Part(rows: [row])
    guard pairs, !single.persists, row.verdict != .invalid else { return part }
    for second in seconds(after: single, outcome) {
      guard part.pairCount < pairsLeft else {
        part.isCutShort = true
        break
      }
      part.pairCount += 1
      part.rows.append(run([single, second], runner).0)
    }
    return part
  }

  private func run(_ injections: [Injection], _ runner: FlowRunner) -> (SweepRow, Outcome) {
    announce?(injections)
    let flow = runner.flow
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
    } else if !offences.isEmpty {
      offences = runner.withOrigins(offences, of: token)
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
