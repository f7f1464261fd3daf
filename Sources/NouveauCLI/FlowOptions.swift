import ArgumentParser
import Foundation
import NouveauTestKit

/// What `sweep` and `explore` share: scenarios, forms of results, the part of the work.
struct FlowOptions: ParsableArguments {
  @Argument(help: "Scenario files.", completion: .file(extensions: ["yaml", "yml"]))
  var scenarios: [String]

  @Option(
    help: ArgumentHelp(
      "Do the k-th of n parts of the work; `nouveau merge` joins their --json results.",
      valueName: "k/n"), transform: OptionForms.shard)
  var shard = Shard.whole

  @Flag(help: "Print one line a scenario, and in full only what did not hold.")
  var brief = false

  @OptionGroup var forms: ResultForms

  func validate() throws {
    if scenarios.isEmpty { throw ValidationError("Name at least one scenario file.") }
  }

  /// Reads every file; ends the command with 2 when one is bad.
  func load() throws -> [ScenarioFlow] { try Self.load(scenarios) { _ in false } }

  static func load(
    _ paths: [String], countsCoverage: (Scenario) -> Bool
  ) throws -> [ScenarioFlow] {
    var flows: [ScenarioFlow] = []
    var isBad = false
    for path in paths {
      do throws(ScenarioErrors) {
        let scenario = try ScenarioFile.load(path)
        flows.append(
          ScenarioFlow(
            scenario, countsCoverage: countsCoverage(scenario), makeTarget: Targets.machine))
      } catch {
        isBad = true
        for diagnostic in error.diagnostics { Terminal.complain("\(diagnostic)\n") }
      }
    }
    if isBad { throw ExitCode(2) }
    return flows
  }
}

/// The forms in which results are written.
struct ResultForms: ParsableArguments {
  @Flag(help: "Print the results as JSON instead of text; `nouveau merge` reads it.")
  var json = false

  @Option(help: "Write the results as JUnit XML to this file.", completion: .file())
  var junit: String?

  @Option(help: "Write the results as TAP 14 to this file.", completion: .file())
  var tap: String?

  /// Makes the files before the work, which may take hours: one that can't be written ends the
  /// command with 2 at once.
  func prepare() throws {
    if let junit { try write("", to: junit) }
    if let tap { try write("", to: tap) }
  }

  /// Writes the results and ends the command: 0 when all passed, 1 when not, 2 when a file can't
  /// be written.
  func finish(_ results: ResultSet) throws {
    Terminal.progress("")
    if let junit { try write(JUnitWriter().text(results), to: junit) }
    if let tap { try write(TAPWriter().text(results), to: tap) }
    Terminal.print(json ? results.json : "\(results.summary)\n")
    if !results.passed { throw ExitCode(results.exitStatus) }
  }

  private func write(_ text: String, to path: String) throws {
    do {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    } catch {
      Terminal.complain("\(path): error: the file can't be written; name a writable file\n")
      throw ExitCode(2)
    }
  }
}

/// Options whose values have a form of their own.
enum OptionForms {
  static func shard(_ text: String) throws -> Shard {
    guard let shard = Shard(parsing: text) else {
      throw ValidationError("'\(text)' is no k/n with 1 <= k <= n.")
    }
    return shard
  }

  static func strategy(_ text: String) throws -> NouveauTestKit.Strategy {
    guard let strategy = NouveauTestKit.Strategy(name: text) else {
      throw ValidationError("'\(text)' is none of random, pct:D, exhaustive:P, plain.")
    }
    return strategy
  }
}
