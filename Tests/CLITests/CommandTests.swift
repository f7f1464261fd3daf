import ArgumentParser
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
}
