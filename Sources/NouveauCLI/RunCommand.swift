import ArgumentParser
import NouveauTestKit

/// `nouveau run`: scenario files.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs scenario files and checks what they expect.",
    discussion: """
      Exit status: 0 when every expectation holds; 1 when something does not: step,
      expected, got, seed and the command that repeats the run are printed; 2 when
      a file is bad: each error as file:line:column, with what would be right.
      docs/scenarios.md describes the files.

      EXAMPLES
        nouveau run docs/scenarios/*.yaml
        nouveau run docs/scenarios/ping-pong.yaml --seed 99
        nouveau run docs/scenarios/why-pages-stay.yaml --explain
        nouveau run docs/scenarios/fences-in-order.yaml --trace run.json
        (open the trace at ui.perfetto.dev or chrome://tracing)
      """)

  @Argument(help: "Scenario files.", completion: .file(extensions: ["yaml", "yml"]))
  var scenarios: [String]

  @Option(help: "Seed of order and draws, instead of the scenario's own.")
  var seed: UInt64?

  @Flag(help: "Wall clock and worker threads instead of the virtual clock.")
  var realtime = false

  @Flag(help: "Print one JSON document instead of text.")
  var json = false

  @Flag(help: "Print which pages did not go to the device in each migration, and why.")
  var explain = false

  @Option(
    help: "Write a Chrome/Perfetto trace of the run (of the last one, with several files).",
    completion: .file(extensions: ["json"]))
  var trace: String?

  func validate() throws {
    if scenarios.isEmpty { throw ValidationError("Name at least one scenario file.") }
  }

  func run() throws {
    var batch = ScenarioBatch(makeTarget: Targets.machine)
    batch.options = RunOptions(seed: seed, isRealTime: realtime, explains: explain)
    batch.isJSON = json
    batch.tracePath = trace
    batch.progress = { number, count, name in Terminal.progress("[\(number)/\(count)] \(name)") }
    let ending = batch.run(
      scenarios,
      print: { text in
        Terminal.progress("")
        Terminal.print(text)
      },
      complain: Terminal.complain)
    Terminal.progress("")
    if ending != .passed { throw ExitCode(ending.rawValue) }
  }
}
