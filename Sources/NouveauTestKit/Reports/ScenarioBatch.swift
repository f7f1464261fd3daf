import Foundation
import KernelRuntime

/// Runs scenario files one after the other and tells what came of them: the work of `nouveau run`.
public struct ScenarioBatch {
  /// How the command ends; the numbers are its exit status.
  public enum Ending: Int32, Sendable {
    /// Every expectation held.
    case passed = 0
    /// Something did not hold.
    case failed = 1
    /// A file can't be read, or is no scenario.
    case badInput = 2
  }

  public var options = RunOptions()
  /// Print one JSON document instead of text.
  public var isJSON = false
  /// Where the trace goes; nil for no trace. With several scenarios the last one's is kept.
  public var tracePath: String?
  /// Told the number of the scenario that begins, the count of all, and its name.
  public var progress: ((Int, Int, String) -> Void)?

  private let makeTarget: ScenarioRunner.TargetMaker

  public init(makeTarget: @escaping ScenarioRunner.TargetMaker) { self.makeTarget = makeTarget }

  /// Runs the files at `paths`; `print` gets results, `complain` what is wrong with the input.
  ///
  /// Nothing runs when any file is bad, so that a slip in the last one costs no waiting.
  public func run(
    _ paths: [String], print: (String) -> Void, complain: (String) -> Void
  ) -> Ending {
    var scenarios: [Scenario] = []
    var diagnostics: [ScenarioDiagnostic] = []
    for path in paths {
      do throws(ScenarioErrors) {
        scenarios.append(try ScenarioFile.load(path))
      } catch {
        diagnostics += error.diagnostics
      }
    }
    guard diagnostics.isEmpty else {
      for diagnostic in diagnostics { complain("\(diagnostic)\n") }
      if isJSON {
        print(JSONValue.object([("errors", .list(diagnostics.map(\.json)))]).text() + "\n")
      }
      return .badInput
    }
    return run(scenarios, print, complain)
  }

  private func run(
    _ scenarios: [Scenario], _ print: (String) -> Void, _ complain: (String) -> Void
  ) -> Ending {
    let runner = ScenarioRunner(makeTarget: makeTarget)
    var options = options
    options.isTracing = options.isTracing || tracePath != nil
    var reports: [RunReport] = []
    for (index, scenario) in scenarios.enumerated() {
      progress?(index + 1, scenarios.count, scenario.name)
      let (report, target) = runner.run(scenario, options)
      reports.append(report)
      if !isJSON {
        print(report.text())
        if options.explains { print(report.explanation()) }
      }
      if let tracePath, let target, !write(target.kernel.trace, to: tracePath) {
        complain("\(tracePath): error: the trace can't be written; name a writable file\n")
        return .badInput
      }
    }
    let failed = reports.count { !$0.passed }
    if isJSON {
      print(JSONValue.object([("runs", .list(reports.map(\.json)))]).text() + "\n")
    } else if reports.count > 1 {
      print("\(reports.count - failed) of \(reports.count) scenarios passed\n")
    }
    return failed == 0 ? .passed : .failed
  }

  private func write(_ trace: Trace, to path: String) -> Bool {
    let data = Data(ChromeTrace.json(of: trace).utf8)
    do {
      try data.write(to: URL(fileURLWithPath: path))
      return true
    } catch {
      return false
    }
  }
}
