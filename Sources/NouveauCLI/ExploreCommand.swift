import ArgumentParser
import NouveauTestKit

/// `nouveau explore`: many orders of a scenario.
struct ExploreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explore",
    abstract: "Runs scenarios under many orders of tasks, interrupts, timers and device events.",
    discussion: """
      Strategies: random, a uniform walk; pct:D, random priorities with D-1 changes;
      exhaustive:P, every order with at most P preemptions, from the first step that
      starts tasks on; plain, first come first served. The n-th order depends on the
      seed and n alone. A run that breaks something is shortened; its token and the
      command that repeats it are printed.
      With --sweep each injection point that the scenario passes fails in turn, and
      each failure is run under so many orders.
      Exit status: 0 when all holds, 1 when not, 2 when a file is bad.

      EXAMPLES
        nouveau explore docs/scenarios/m20-hot-page.yaml
        nouveau explore docs/scenarios/*.yaml --schedules 100000 --jobs 8
        nouveau explore docs/scenarios/v09-store-races-migration.yaml \\
          --strategy exhaustive:2 --schedules 1000000
        nouveau explore docs/scenarios/fault-around.yaml --sweep --schedules 20
        nouveau explore docs/scenarios/vram-runs-out.yaml --coverage \\
          --reaches "CPU fault during eviction"
      """)

  @OptionGroup var options: FlowOptions

  @Option(help: "Orders to run; an exhaustive search may end before.")
  var schedules = 1000

  @Option(help: "random, pct:D, exhaustive:P or plain.", transform: OptionForms.strategy)
  var strategy = NouveauTestKit.Strategy.random

  @Option(help: "Seed of all orders.")
  var seed: UInt64 = 0

  @Option(help: "Threads, each with every so-manyth order.")
  var jobs = 1

  @Flag(help: "Fail each injection point in turn, under all these orders.")
  var sweep = false

  @Flag(help: "Count states and edges of the migration's protocols; name those never reached.")
  var coverage = false

  @Option(
    help: """
      Some order has to reach this mark, beside those that the scenario names; may be given again.
      """)
  var reaches: [String] = []

  func validate() throws {
    if schedules < 1 { throw ValidationError("--schedules counts from 1.") }
    if jobs < 1 { throw ValidationError("--jobs counts from 1.") }
    let marks = MigrationMark.allCases.map(\.rawValue)
    for mark in reaches where !marks.contains(mark) {
      throw ValidationError(
        "No mark is called '\(mark)'; there are: \(marks.joined(separator: ", ")).")
    }
  }

  func run() throws {
    try options.forms.prepare()
    let flows = try FlowOptions.load(options.scenarios) { scenario in
      !sweep && (coverage || !reaches.isEmpty || !scenario.reaches.isEmpty)
    }
    var plan = Exploration(strategy, schedules: schedules, seed: seed)
    plan.shard = options.shard
    var results: [CheckResult] = []
    for (index, flow) in flows.enumerated() {
      let head = "[\(index + 1)/\(flows.count)] \(flow.name)"
      Terminal.progress(head)
      plan.announce = { number in
        if number % 256 == 0 { Terminal.progress("\(head): order \(number)") }
      }
      results += sweep ? sweepOrders(flow, plan) : explore(flow, plan)
    }
    try options.forms.finish(ResultSet(results, shard: options.shard))
  }

  private func explore(_ flow: ScenarioFlow, _ plan: Exploration) -> [CheckResult] {
    let report = plan.explore(jobs: jobs) { flow }
    Terminal.progress("")
    var results = [CheckResult(report, command: flow.replayCommand)]
    let asked = flow.scenario.reaches.map(\.rawValue)
    for mark in asked + reaches.filter({ !asked.contains($0) }) {
      let result = CheckResult(reaching: mark, report, command: flow.replayCommand)
      results.append(result)
      if !options.forms.json {
        let way = result.command.map { "reached, see \($0)" }
        let miss = result.isOpen ? "not reached in this part" : "NEVER REACHED"
        Terminal.print("\(flow.name): \(mark): \(way ?? miss)\n")
      }
    }
    if !options.forms.json {
      let isTold = !options.brief || !report.passed
      Terminal.print(
        isTold ? report.text(command: flow.replayCommand) : "\(report.summary)\n")
      if coverage { Terminal.print(report.coverage.text) }
    }
    return results
  }

  private func sweepOrders(_ flow: ScenarioFlow, _ plan: Exploration) -> [CheckResult] {
    var sweep = Sweep()
    sweep.persistence = [.once]
    sweep.seed = seed
    sweep.shard = options.shard
    sweep.orders = plan
    let report = sweep.run(jobs: jobs) { flow }
    Terminal.progress("")
    if !options.forms.json {
      Terminal.print(report.text(isBrief: options.brief, command: flow.replayCommand))
    }
    return CheckResult.results(report, command: flow.replayCommand)
  }
}
