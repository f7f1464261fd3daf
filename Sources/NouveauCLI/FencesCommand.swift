import ArgumentParser
import NouveauTestKit

/// `nouveau fences`: the fences of a scenario's run.
struct FencesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fences",
    abstract: "Shows the fence timelines of scenarios, and who waits for whom in a hang.",
    discussion: """
      For each fence context: its points with the times of emit and signal, the
      error, and who went on or gave up. A wait that ended without its fence, and a
      run that came to no end, are shown with the tasks that slept then, what each
      waited for and held, and the chain. docs/fences.md says how fences work here.
      Exit status: 0 when the scenario's expectations hold, 1 when not, 2 when a
      file is bad.

      EXAMPLES
        nouveau fences docs/scenarios/fences-in-order.yaml
        nouveau fences docs/scenarios/a2-fence-never-signals.yaml
        nouveau fences docs/scenarios/lost-interrupt.yaml --seed 7 --json
      """)

  @Argument(help: "Scenario files.", completion: .file(extensions: ["yaml", "yml"]))
  var scenarios: [String]

  @Option(help: "Seed of order and draws, instead of the scenario's own.")
  var seed: UInt64?

  @Flag(help: "Print one JSON document instead of text.")
  var json = false

  func validate() throws {
    if scenarios.isEmpty { throw ValidationError("Name at least one scenario file.") }
  }

  func run() throws {
    let flows = try FlowOptions.load(scenarios) { _ in false }
    var reports: [FenceReport] = []
    for flow in flows {
      let report = FenceReport.of(flow.scenario, seed: seed, makeTarget: Targets.machine)
      if !json { Terminal.print((reports.isEmpty ? "" : "\n") + report.text()) }
      reports.append(report)
    }
    if json {
      let list = JSONValue.list(reports.map(\.json))
      Terminal.print(JSONValue.object([("reports", list)]).text() + "\n")
    }
    if reports.contains(where: { !$0.run.passed }) { throw ExitCode(1) }
  }
}
