import ArgumentParser
import Foundation
import Testing

@testable import NouveauCLI

@Suite struct CommandTests {
  @Test func everySubcommand_hasCompleteHelpWithExamples() {
    let subcommands = NouveauCommand.configuration.subcommands
    #expect(!subcommands.isEmpty)
    for command in subcommands {
      let help = NouveauCommand.helpMessage(for: command, columns: 100)
      #expect(!command.configuration.abstract.isEmpty, "\(help)")
      #expect(help.contains("EXAMPLES\n"), "\(help)")
      #expect(help.contains("  nouveau \(command.configuration.commandName ?? "?")"), "\(help)")
    }
  }

  @Test func everyOption_isDescribed() {
    for command in NouveauCommand.configuration.subcommands {
      let help = NouveauCommand.helpMessage(for: command, columns: 100)
      for line in help.split(separator: "\n") where line.hasPrefix("  -") {
        let words = line.split(separator: " ", omittingEmptySubsequences: true)
        #expect(words.count > 2, "'\(line)' of \(command) says nothing")
      }
    }
  }

  @Test func run_needsAScenario() {
    #expect(throws: (any Error).self) { try NouveauCommand.parseAsRoot(["run"]) }
  }

  @Test func run_takesItsOptions() throws {
    let command = try NouveauCommand.parseAsRoot([
      "run", "a.yaml", "b.yaml", "--seed", "7", "--realtime", "--json", "--trace", "t.json",
    ])
    let run = try #require(command as? RunCommand)
    #expect(run.scenarios == ["a.yaml", "b.yaml"])
    #expect(run.seed == 7)
    #expect(run.realtime && run.json)
    #expect(run.trace == "t.json")
  }
}

@Suite struct ProcessTests {
  @Test func badInput_endsWithTwoAndNamesThePlace() throws {
    try CommandProcess.withFile("bad.yaml", "scenario: x\nsumary: y\n") { path in
      let result = try CommandProcess.run(["run", path])
      #expect(result.status == 2)
      #expect(result.output.isEmpty)
      #expect(
        result.complaints.contains(
          "\(path):2:1: error: 'sumary' is no key of the scenario; did you mean 'summary'?"))
    }
  }

  @Test func aMissingFile_endsWithTwo() throws {
    let result = try CommandProcess.run(["run", "/nowhere/at-all.yaml"])
    #expect(result.status == 2)
    #expect(
      result.complaints == "/nowhere/at-all.yaml:1:1: error: the file can't be read; "
        + "name a readable scenario file (docs/scenarios.md says how to write one)\n")
  }

  @Test func badInputAsJSON_isJSONOnStandardOutput() throws {
    try CommandProcess.withFile("bad.yaml", "scenario: x\n") { path in
      let result = try CommandProcess.run(["run", path, "--json"])
      #expect(result.status == 2)
      #expect(result.output.contains("\"remedy\""))
    }
  }

  private static let passing = CommandProcess.scenario(named: "fine")

  @Test func whatHolds_endsWithZeroAndWritesItsTrace() throws {
    try CommandProcess.withFile("fine.yaml", Self.passing) { path in
      let result = try CommandProcess.run(["run", path, "--trace", path + ".json"])
      #expect(result.status == 0)
      #expect(result.output.hasPrefix("ok    fine  3 steps, "))
      // In a pipe there is no progress.
      #expect(result.complaints.isEmpty)
      let data = try Data(contentsOf: URL(fileURLWithPath: path + ".json"))
      let trace = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      let events = try #require(trace["traceEvents"] as? [[String: Any]])
      for phase in ["M", "X", "s", "t", "f"] {
        #expect(events.contains { $0["ph"] as? String == phase }, "no event of phase \(phase)")
      }
    }
  }

  @Test func whatDoesNotHold_endsWithOneAndTheLineThatRepeatsIt() throws {
    let failing = Self.passing.replacing("moved: 2", with: "moved: 1")
    try CommandProcess.withFile("wrong.yaml", failing) { path in
      let result = try CommandProcess.run(["run", path, "--seed", "5"])
      #expect(result.status == 1)
      #expect(result.output.contains("expected: 1 pages moved\n    got:      2\n"))
      #expect(result.output.hasSuffix("  again: nouveau run \(path) --seed 5\n"))
    }
  }

  @Test func realTime_givesTheSameResult() throws {
    try CommandProcess.withFile("fine.yaml", Self.passing) { path in
      let result = try CommandProcess.run(["run", path, "--realtime", "--json"])
      #expect(result.status == 0)
      #expect(result.output.contains("\"mode\": \"real-time\""))
    }
  }

  @Test func demo_endsWithEqualHashes() throws {
    try CommandProcess.withFile("bytes", String(repeating: "real bytes ", count: 1000)) { path in
      let result = try CommandProcess.run(["demo", "--file", path, "--quiet"])
      #expect(result.status == 0, "\(result.output)\(result.complaints)")
      #expect(result.output.hasSuffix("nothing lost, nothing leaked\n"))
    }
  }

  /// A copy of the command that lies elsewhere has no microcode at hand.
  @Test(arguments: ["run", "explore", "sweep", "fences", "demo"])
  func microcodeThatIsMissing_isNamedWithPlaceAndRemedy(command: String) throws {
    let text = Self.passing.replacing(
      "processes:", with: "machine: {profile: gf100-copy}\nprocesses:")
    try CommandProcess.withFile("copy.yaml", text) { path in
      let here = URL(fileURLWithPath: path).deletingLastPathComponent()
      let words = command == "demo" ? ["--profile", "gf100-copy"] : ["copy.yaml"]
      let result = try CommandProcess.run([command] + words, in: here)
      #expect(result.output == "" && result.status != 0)
      let place = command == "demo" ? "Error: " : "copy.yaml:3:20: error: "
      #expect(
        result.complaints.hasPrefix(
          place + "gf100-copy runs microcode, and no folder Firmware lies above the command"),
        "\(result.complaints)")
      #expect(result.complaints.contains("run the command in the project's folder"))
    }
  }

  @Test func demo_refusesAFileThatIsNotThere() throws {
    #expect(try CommandProcess.run(["demo", "--file", "/nowhere/at-all"]).status == 2)
  }
}
