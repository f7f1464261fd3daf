import ArgumentParser
import KernelRuntime
import NouveauTestKit

/// `nouveau replay`: one run again, told line by line.
struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Repeats the run that a token names, and tells every event and decision of it.",
    discussion: """
      The token comes from sweep or explore. Without a file the scenario is looked
      for as docs/scenarios/NAME.yaml under the current folder. The same token gives
      the same lines on every machine.
      Exit status: 0 when the run shows no offence; 1 when it does, or isn't the run
      that the token names; 2 when the token or the file is bad.

      EXAMPLES
        nouveau replay n1/m20-hot-page/.../1f09c3aa
        nouveau replay TOKEN docs/scenarios/m20-hot-page.yaml --shorten
        nouveau replay TOKEN --brief
      """)

  @Argument(help: "The word that a failing run printed.")
  var token: String

  @Argument(help: "The scenario file.", completion: .file(extensions: ["yaml", "yml"]))
  var scenario: String?

  @Flag(help: "Look for a shorter run with the same offence first, and tell that.")
  var shorten = false

  @Flag(help: "Tell decisions and the end only, without the events between.")
  var brief = false

  func run() throws {
    let parsed: ReplayToken
    do throws(TokenError) {
      parsed = try ReplayToken(parsing: token)
    } catch {
      Terminal.complain("\(error)\n")
      throw ExitCode(2)
    }
    let path = scenario ?? "docs/scenarios/\(parsed.flow).yaml"
    let flows = try FlowOptions.load([path]) { _ in false }
    guard let flow = flows.first else { return }
    guard flow.name == parsed.flow else {
      Terminal.complain(
        "\(path): error: this is the scenario '\(flow.name)', the token is of '\(parsed.flow)'; "
          + "name the file of that one\n")
      throw ExitCode(2)
    }
    let best = shorten ? shortened(parsed, flow) : parsed
    let isBrief = brief
    let outcome = Narrator(flow) { line in
      if !isBrief || line.hasPrefix("--") { Terminal.print(line + "\n") }
    }.narrate(best)
    if !outcome.isClean { throw ExitCode(1) }
  }

  private func shortened(_ token: ReplayToken, _ flow: ScenarioFlow) -> ReplayToken {
    let runner = FlowRunner(flow)
    let first = runner.replay(token.schedule, injections: token.injections, isStrict: false)
    guard let offence = first.offences.first,
      let result = Shortener(runner).shorten(token, keeping: offence.name)
    else {
      Terminal.complain("the run shows no offence to keep, so it stays as it is\n")
      return token
    }
    Terminal.print(
      "-- shortened from \(token.schedule.deviations) to \(result.token.schedule.deviations) "
        + "decisions in \(result.runs) runs\n-- \(flow.replayCommand(result.token))\n")
    return result.token
  }
}
