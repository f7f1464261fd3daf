import ArgumentParser
import KernelRuntime
import NouveauTestKit

/// `nouveau sweep`: every failure of a scenario.
struct SweepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep",
    abstract: "Fails every injection point that a scenario passes, one passage at a time.",
    discussion: """
      Runs each scenario once to count the injection points that it passes. Then
      the 1st, 2nd, ... passage of each fails, with each error that the point can
      give. After each failure steps may return errors; bytes must equal the shadow
      copy, nothing may hang, and the audit of the machine must hold. The table
      says point, n, error, what the flow returned, audit. A failure that never
      struck makes its run invalid, not passed. What --sample and --passages leave
      out is counted and reported as skipped.
      Exit status: 0 when all is clean; 1 when not, with one token and the command
      that repeats the run; 2 when a file is bad.

      EXAMPLES
        nouveau sweep docs/scenarios/k06-copy-back-with-failures.yaml
        nouveau sweep docs/scenarios/*.yaml --junit sweep.xml
        nouveau sweep docs/scenarios/*.yaml --sample 3 --sample-above 1500 --jobs 2 --brief
        nouveau sweep docs/scenarios/fault-around.yaml --from-then-on --pairs
        nouveau sweep docs/scenarios/*.yaml --shard 2/4 --json > part-2.json
      """)

  @OptionGroup var options: FlowOptions

  @Flag(help: "After each failure, fail each later passage as well, one at a time.")
  var pairs = false

  @Flag(help: "Besides single passages, let all later passages of the point fail as well.")
  var fromThenOn = false

  @Option(
    help: """
      Of passages that are alike, fail so many: of the same point, by the same task in the same \
      step, with the same two points passed before and after.
      """)
  var sample: Int?

  @Option(
    help: ArgumentHelp(
      "With --sample, sweep scenarios with at most so many failures whole.", valueName: "n"))
  var sampleAbove = 0

  @Option(help: "Passages of one point that fail one by one; of more, so many spread evenly.")
  var passages: UInt64?

  @Option(help: "Threads that share the failures of a scenario.")
  var jobs = 1

  @Option(help: "Only this injection point; may be given again.")
  var point: [String] = []

  @Option(help: "Seed of draws in the model.")
  var seed: UInt64 = 0

  func validate() throws {
    if let sample, sample < 1 { throw ValidationError("--sample counts from 1.") }
    if let passages, passages < 1 { throw ValidationError("--passages counts from 1.") }
    if jobs < 1 { throw ValidationError("--jobs counts from 1.") }
    let names = InjectionPoint.all.map(\.name)
    for name in point where !names.contains(name) {
      throw ValidationError(
        "No injection point is called '\(name)'; there are:\n  "
          + names.joined(separator: "\n  "))
    }
  }

  func run() throws {
    try options.forms.prepare()
    let flows = try options.load()
    var sweep = Sweep()
    sweep.persistence = fromThenOn ? [.once, .fromThenOn] : [.once]
    sweep.pairs = pairs
    sweep.seed = seed
    sweep.shard = options.shard
    if !point.isEmpty { sweep.points = point }
    if let passages { sweep.passageLimit = passages }
    sweep.sample = sample
    sweep.sampleAbove = sampleAbove
    var results: [CheckResult] = []
    for (index, flow) in flows.enumerated() {
      let head = "[\(index + 1)/\(flows.count)] \(flow.name)"
      Terminal.progress(head)
      sweep.announce = { injections in
        Terminal.progress("\(head): \(injections.map(\.description).joined(separator: " + "))")
      }
      let report = sweep.run(jobs: jobs) { flow }
      results += CheckResult.results(report, command: flow.replayCommand)
      Terminal.progress("")
      if options.forms.json { continue }
      Terminal.print(report.text(isBrief: options.brief, command: flow.replayCommand))
    }
    try options.forms.finish(ResultSet(results, shard: options.shard))
  }
}
