import Base
import KernelRuntime

/// One failure, or pair of failures, and what came of it.
public struct SweepRow: Sendable {
  public enum Verdict: String, Sendable {
    case passed
    case failed
    /// The failure asked for never struck, so that the run says nothing.
    case invalid
  }

  public let injections: [Injection]
  public let verdict: Verdict
  /// The errors that the flow came back with.
  public let returned: String
  public let offences: [Offence]
  /// Orders run with this failure.
  public let runs: Int
  /// Repeats the run; the failing one when an order failed.
  public let token: ReplayToken
}

/// What a sweep found.
public struct SweepReport: Sendable {
  public let flow: String
  /// The run without failures.
  public let baseline: Outcome
  public internal(set) var rows: [SweepRow] = []
  /// The part of the work that this is, and the single failures of all parts.
  public internal(set) var shard = Shard.whole
  public internal(set) var total = 0
  /// Pairs that were run.
  public internal(set) var pairCount = 0
  /// The bound on pairs was met.
  public internal(set) var isCutShort = false
  /// Single failures that were not run; over all shards.
  public internal(set) var leftOut = LeftOut()

  /// Failures that a sweep was told to leave out. They count as skipped, not as passed.
  public struct LeftOut: Hashable, Sendable {
    /// Of passages like others that did fail (``Sweep/sample``): of the same point, by the same
    /// task in the same step, with the same two points passed before and after by that task.
    public internal(set) var alike = 0
    /// Of passages beyond ``Sweep/passageLimit``.
    public internal(set) var beyondLimit = 0

    public var total: Int { alike + beyondLimit }

    /// In words; empty when nothing was left out.
    public var text: String {
      let parts = [
        alike == 0 ? nil : "\(alike) of passages like others that were",
        beyondLimit == 0 ? nil : "\(beyondLimit) beyond the limit on passages",
      ].compactMap(\.self)
      return parts.isEmpty ? "" : "not run: " + parts.joined(separator: ", ")
    }
  }

  init(flow: String, baseline: Outcome) {
    self.flow = flow
    self.baseline = baseline
  }

  mutating func add(_ part: Sweep.Part) {
    rows += part.rows
    pairCount += part.pairCount
    isCutShort = isCutShort || part.isCutShort
  }

  public func count(_ verdict: SweepRow.Verdict) -> Int {
    rows.count { $0.verdict == verdict }
  }

  /// There are failures to inject, none of which falls to this part of the work.
  public var isEmptyPart: Bool { baseline.offences.isEmpty && rows.isEmpty && total > 0 }

  /// Every run, the one without failures too, was clean; none was invalid, and there was at least
  /// one failure to inject.
  public var passed: Bool {
    baseline.offences.isEmpty && total > 0 && count(.passed) == rows.count && !isCutShort
  }

  /// The first run that failed or said nothing.
  public var firstProblem: SweepRow? { rows.first { $0.verdict != .passed } }

  /// What repeats the first problem: that of the run without failures, if it has one.
  public var problemToken: ReplayToken? {
    baseline.offences.isEmpty
      ? firstProblem?.token : ReplayToken(flow: flow, schedule: baseline.schedule)
  }

  /// The table: point, n, error, what the flow returned, audit.
  public var table: String { table(of: rows) }

  /// The table of what did not hold.
  var problemTable: String { table(of: rows.filter { $0.verdict != .passed }) }

  private func table(of rows: [SweepRow]) -> String {
    var cells = [["point", "n", "error", "returned", "audit"]]
    for row in rows {
      let points = row.injections.map(\.point.name).joined(separator: " + ")
      let numbers = row.injections.map { "\($0.nth)\($0.persists ? "+" : "")" }
      let errors = row.injections.map { $0.error?.name ?? "fault" }
      cells.append([
        points, numbers.joined(separator: " + "), errors.joined(separator: " + "), row.returned,
        audit(row),
      ])
    }
    let widths = (0..<4).map { column in cells.map { $0[column].count }.max() ?? 0 }
    return cells.map { line in
      var text = ""
      for column in 0..<4 {
        let pad = String(repeating: " ", count: widths[column] - line[column].count + 2)
        text += column == 1 ? pad.dropLast(2) + line[column] + "  " : line[column] + pad
      }
      return text + line[4] + "\n"
    }.joined()
  }

  private func audit(_ row: SweepRow) -> String {
    switch row.verdict {
    case .passed: "clean"
    case .invalid: "INVALID: the failure never struck"
    case .failed: "FAILED: " + row.offences.map(\.description).joined(separator: "; ")
    }
  }

  /// One line for a log.
  public var summary: String {
    if let offence = baseline.offences.first {
      return "\(flow): FAILED without any failure injected, so none was: \(offence)"
    }
    if isEmptyPart { return "\(flow): none of \(total) failures falls to part \(shard)" }
    return "\(flow): \(rows.count) failures"
      + (pairCount == 0 ? "" : ", \(pairCount) of them pairs,")
      + " at \(baseline.passages.count) points: "
      + "\(count(.passed)) passed, \(count(.failed)) failed, \(count(.invalid)) invalid"
      + (isCutShort ? ", cut short at the bound on pairs" : "")
      + (leftOut.total == 0 ? "" : "; \(leftOut.text)")
  }

  /// For a terminal: the table, unless only what did not hold is wanted and all did; the summary;
  /// what repeats the first problem.
  ///
  /// - Parameter command: what repeats a token.
  public func text(isBrief: Bool, command: (ReplayToken) -> String) -> String {
    let isTold = !rows.isEmpty && (!isBrief || !passed)
    var text = (isTold ? "\(flow)\n\(isBrief ? problemTable : table)" : "") + "\(summary)\n"
    if let problemToken {
      text += "  token:  \(problemToken)\n  repeat: \(command(problemToken))\n"
    }
    return text
  }
}
