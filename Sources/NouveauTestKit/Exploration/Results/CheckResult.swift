/// The result of one check, as the writers print it and shards exchange it.
public struct CheckResult: Hashable, Sendable, Codable {
  public enum Status: String, Sendable, Codable, CaseIterable {
    case passed
    /// Left out, with a reason; never counted as passed.
    case skipped
    /// It ran but says nothing, as a failure that never struck.
    case invalid
    case failed
  }

  /// Groups checks: a scenario, a flow.
  public var suite: String
  public var name: String
  public var status: Status
  /// Why; one line.
  public var message = ""
  /// More lines: a table, a trace.
  public var detail = ""
  /// Repeats the run that failed.
  public var token: String?
  /// The command that repeats it.
  public var command: String?
  /// Runs that the check is made of.
  public var runs = 1
  /// Counts and settings, in order.
  public var properties: [Property] = []

  public struct Property: Hashable, Sendable, Codable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public init(suite: String, name: String, status: Status, message: String = "") {
    self.suite = suite
    self.name = name
    self.status = status
    self.message = message
  }
}

/// The results of one job.
public struct ResultSet: Hashable, Sendable, Codable {
  /// Of this form of the file.
  public static let formatVersion = 1
  public private(set) var version = ResultSet.formatVersion
  /// The parts of the work that were done, as `k/n`.
  public var shards: [String]
  public var results: [CheckResult]

  public init(_ results: [CheckResult] = [], shard: Shard = .whole) {
    self.results = results
    shards = [shard.description]
  }

  public func count(_ status: CheckResult.Status) -> Int { results.count { $0.status == status } }

  /// Nothing failed, nothing was invalid, and something passed; of a part of the work to which
  /// nothing fell, only the former is asked.
  public var passed: Bool {
    let isEmptyPart = shards != [Shard.whole.description] && results.contains(where: \.isOpen)
    return count(.failed) == 0 && count(.invalid) == 0 && (count(.passed) > 0 || isEmptyPart)
  }

  /// The exit status of a command that printed this: 0 or 1.
  public var exitStatus: Int32 { passed ? 0 : 1 }

  /// The names of the suites, in order of their first result.
  var suites: [String] {
    var names: [String] = []
    for result in results where !names.contains(result.suite) { names.append(result.suite) }
    return names
  }

  public var summary: String {
    "\(count(.passed)) passed, \(count(.failed)) failed, \(count(.invalid)) invalid, "
      + "\(count(.skipped)) skipped"
  }
}

extension CheckResult {
  /// What a result says that one part of the work alone can't settle: other parts have to.
  private static let openProperty = Property("settled by", "the other parts")

  /// The check needs the other parts of the work: nothing of it fell to this one, or what it asks
  /// for once in all orders wasn't met here. It counts as skipped, and ``ResultSet/merge(_:)`` lets
  /// the other parts decide.
  public var isOpen: Bool { properties.contains(Self.openProperty) }

  /// A result that other parts of the work decide.
  static func open(_ suite: String, _ name: String, _ message: String) -> CheckResult {
    var result = CheckResult(suite: suite, name: name, status: .skipped, message: message)
    result.runs = 0
    result.properties = [openProperty]
    return result
  }

  /// Whether some order of an exploration reached `mark`. In one part of the orders a mark may be
  /// missed that another reaches.
  public init(
    reaching mark: String, _ report: ExplorationReport, command: (ReplayToken) -> String
  ) {
    let name = "reaches \(mark)"
    let witness = report.witness(of: mark)
    if witness == nil && report.plan.shard != .whole {
      self = .open(report.flow, name, "no order of part \(report.plan.shard) reached it")
    } else {
      self.init(
        suite: report.flow, name: name, status: witness == nil ? .failed : .passed,
        message: witness == nil ? "no order reached it" : "")
    }
    runs = report.schedules
    token = witness?.description
    self.command = witness.map(command)
  }

  /// The result of an exploration.
  ///
  /// - Parameter command: what repeats a token, with the token at its end.
  public init(_ report: ExplorationReport, command: (ReplayToken) -> String) {
    let name = "orders \(report.plan.strategy.name)"
    if report.isEmptyPart {
      self = .open(report.flow, name, "no order falls to part \(report.plan.shard)")
      return
    }
    self.init(
      suite: report.flow, name: name,
      status: report.passed ? .passed : report.findings.isEmpty ? .invalid : .failed,
      message: report.passed ? "" : report.summary)
    runs = report.schedules
    properties = [
      Property("strategy", report.plan.strategy.name),
      Property("seed", String(report.plan.seed)),
      Property("orders", String(report.distinctOrders)),
    ]
    if report.plan.injections.isEmpty == false {
      properties.append(
        Property("failures", report.plan.injections.map(\.description).joined(separator: ",")))
    }
    if let finding = report.findings.first {
      token = finding.best.description
      self.command = command(finding.best)
    }
  }

  /// The results of a sweep, one for each failure.
  public static func results(
    _ report: SweepReport, command: (ReplayToken) -> String
  ) -> [CheckResult] {
    var results: [CheckResult] = []
    if report.leftOut.total > 0 {
      var result = CheckResult(
        suite: report.flow, name: "failures left out", status: .skipped,
        message: report.leftOut.text)
      result.runs = 0
      results.append(result)
    }
    if let offence = report.baseline.offences.first {
      var result = CheckResult(
        suite: report.flow, name: "without failures", status: .failed,
        message: offence.description)
      result.token = report.problemToken?.description
      result.command = report.problemToken.map(command)
      results.append(result)
    } else if report.isEmptyPart {
      results.append(
        .open(
          report.flow, "failures of this part",
          "none of \(report.total) failures falls to part \(report.shard)"))
    } else if report.rows.isEmpty {
      results.append(
        CheckResult(
          suite: report.flow, name: "without failures", status: .invalid,
          message: "no injection point was passed"))
    }
    for row in report.rows {
      var result = CheckResult(
        suite: report.flow, name: row.injections.map(\.description).joined(separator: ","),
        status: row.verdict == .passed ? .passed : row.verdict == .failed ? .failed : .invalid)
      result.runs = row.runs
      result.properties = [Property("returned", row.returned)]
      switch row.verdict {
      case .passed: break
      case .invalid: result.message = "the failure never struck"
      case .failed: result.message = row.offences.map(\.description).joined(separator: "; ")
      }
      if row.verdict != .passed {
        result.token = row.token.description
        result.command = command(row.token)
      }
      results.append(result)
    }
    return results
  }
}
