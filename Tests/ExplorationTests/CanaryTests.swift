import KernelRuntime
import NouveauTestKit
import Testing

/// A defect, the offence that shows it, and how many schedules a strategy may need, for each of
/// twenty seeds.
struct Prey: Sendable, CustomStringConvertible {
  let name: String
  let offence: String
  let random: Int
  let pct: Int
  let broken: @Sendable () -> TaskFlow
  let sound: @Sendable () -> TaskFlow

  var description: String { name }

  static let all: [Prey] = [
    Prey(
      name: "bank", offence: "lost-update", random: 20, pct: 30,
      broken: { Canary.bank(locked: false) }, sound: { Canary.bank(locked: true) }),
    Prey(
      name: "wake-up", offence: "hang.lost-wake-up", random: 20, pct: 30,
      broken: { Canary.wakeUp(rechecks: false) }, sound: { Canary.wakeUp(rechecks: true) }),
    Prey(
      name: "philosophers", offence: "deadlock", random: 20, pct: 30,
      broken: { Canary.philosophers(ordered: false) },
      sound: { Canary.philosophers(ordered: true) }),
    Prey(
      name: "double-free", offence: "double-free", random: 20, pct: 30,
      broken: { Canary.doubleFree(atomic: false) }, sound: { Canary.doubleFree(atomic: true) }),
    Prey(
      name: "bounded-buffer", offence: "hang.lost-wake-up", random: 50, pct: 200,
      broken: { Canary.boundedBuffer(wakesAll: false) },
      sound: { Canary.boundedBuffer(wakesAll: true) }),
    Prey(
      name: "time-out", offence: "late-event-lost", random: 70, pct: 140,
      broken: { Canary.timeOut(looksAgain: false) }, sound: { Canary.timeOut(looksAgain: true) }),
  ]
}

@Suite struct CanaryTests {
  private func find(_ prey: Prey, _ strategy: Strategy, within limit: Int, seed: UInt64) throws
    -> Finding
  {
    let report = Exploration(strategy, schedules: limit, seed: seed).explore(prey.broken())
    return try #require(
      report.findings.first { $0.offence.name == prey.offence },
      "\(prey), seed \(seed): \(report.summary)")
  }

  @Test(arguments: Prey.all) func random_findsWithinItsNumber(_ prey: Prey) throws {
    for seed in 0..<20 {
      _ = try find(prey, .random, within: prey.random, seed: UInt64(seed))
    }
  }

  @Test(arguments: Prey.all) func pct_findsWithinItsNumber(_ prey: Prey) throws {
    for seed in 0..<20 {
      _ = try find(prey, .pct(depth: 3), within: prey.pct, seed: UInt64(seed))
    }
  }

  @Test(arguments: Prey.all) func exhaustive_findsWithTwoPreemptions(_ prey: Prey) throws {
    _ = try find(prey, .exhaustive(.init(preemptions: 2)), within: 20_000, seed: 0)
  }

  @Test(arguments: Prey.all) func sound_holds(_ prey: Prey) throws {
    let flow = prey.sound()
    try flow.holdsInOrders(2000)
    try flow.holdsInOrders(2000, .pct(depth: 3))
    try flow.holdsInOrders(2000, .exhaustive(.init(preemptions: 2)))
  }

  @Test(arguments: Prey.all) func token_repeatsTheRun(_ prey: Prey) throws {
    let finding = try find(prey, .random, within: prey.random, seed: 7)
    for token in [finding.token, finding.best] {
      let read = try ReplayToken(parsing: token.description)
      #expect(read == token)
      let first = Trace(isOn: true)
      let second = Trace(isOn: true)
      try prey.broken().replays(read, showing: prey.offence, trace: first)
      try prey.broken().replays(read, showing: prey.offence, trace: second)
      #expect(first.text() == second.text())
    }
  }

  @Test(arguments: Prey.all) func shortened_isNoLonger(_ prey: Prey) throws {
    let finding = try find(prey, .random, within: prey.random, seed: 3)
    let short = try #require(finding.shortened)
    #expect(short.schedule.deviations <= finding.token.schedule.deviations, "\(finding.token)")
    #expect(short.schedule.deviations <= 2, "\(short)")
    // A second pass finds nothing to take out, and the result is the same each time.
    let again = try #require(
      Shortener(FlowRunner(prey.broken())).shorten(short, keeping: prey.offence))
    #expect(again.token.schedule.deviations == short.schedule.deviations)
    let repeated = try #require(
      Shortener(FlowRunner(prey.broken())).shorten(finding.token, keeping: prey.offence))
    #expect(repeated.token == short)
  }

  @Test func longTaskInAShortWindow_isFoundByPrioritiesAndBounds() throws {
    for seed in 0..<10 {
      let report = Exploration(.pct(depth: 2), schedules: 1000, seed: UInt64(seed)).explore(
        Canary.window(locked: false))
      #expect(report.findings.map(\.offence.name) == ["passed-through"], "\(report.summary)")
    }
    let all = Exploration(.exhaustive(.init(preemptions: 1)), schedules: 1000).explore(
      Canary.window(locked: false))
    let finding = try #require(all.findings.first, "\(all.summary)")
    #expect(finding.best.schedule.deviations == 1)
    try Canary.window(locked: true).holdsInAllOrders(.init(preemptions: 1))
  }

  /// More than a hundred decisions and a failure, of which one preemption is what it takes.
  @Test(arguments: 0..<8) func noise_isShortenedAway(_ seed: Int) throws {
    for strategy in [Strategy.random, .pct(depth: 3)] {
      var plan = Exploration(strategy, schedules: 500, seed: UInt64(seed))
      plan.injections = [Injection(Canary.allocation)]
      let report = plan.explore(Canary.noisyBank())
      let finding = try #require(report.findings.first, "\(report.summary)")
      let short = try #require(finding.shortened)
      #expect(short.schedule.deviations == 1, "\(finding.token)")
      #expect(short.injections.isEmpty)
      try Canary.noisyBank().replays(short, showing: "lost-update")
    }
  }

  @Test func shortening_keepsToItsBound() throws {
    let runner = FlowRunner(Canary.noisyBank())
    let outcome = runner.run(RandomWalkChoices(seed: 1), seed: 1)
    let report = Exploration(.random, schedules: 100).explore(Canary.noisyBank())
    let token = try #require(report.findings.first).token
    let result = try #require(Shortener(runner, limit: 9).shorten(token, keeping: "lost-update"))
    #expect(result.runs == 9)
    #expect(result.isCutShort)
    #expect(result.token.schedule.deviations < token.schedule.deviations)
    let clean = ReplayToken(flow: "noisy-bank", schedule: outcome.schedule)
    #expect(Shortener(runner).shorten(clean, keeping: "no such offence") == nil)
  }

  @Test func deadlock_namesTheCircle() throws {
    let report = Exploration(.random, schedules: 100).explore(Canary.philosophers(ordered: false))
    let finding = try #require(report.findings.first, "\(report.summary)")
    #expect(
      finding.offence.detail
        == "left waits for pocket, held by right and holds pocket; "
        + "right waits for pocket, held by left and holds pocket")
  }

  @Test func liveLock_isFoundAndNamesWhoRan() throws {
    var plan = Exploration(.plain)
    plan.stepLimit = 1000
    let report = plan.explore(Canary.courteous())
    let finding = try #require(report.findings.first, "\(report.summary)")
    #expect(finding.offence.name == "live-lock")
    #expect(
      finding.offence.detail
        == "no progress within 1000 steps; of the last 500 steps left 250, right 250")
  }

  @Test func progress_restartsTheBound() throws {
    let flow = TaskFlow("long") { run in
      let kernel = run.kernel
      run.task("worker") {
        for _ in 0..<5000 {
          await kernel.sleep(1)
          kernel.progress()
        }
      }
    }
    var plan = Exploration(.plain)
    plan.stepLimit = 1000
    #expect(plan.explore(flow).passed)
  }

  @Test(arguments: Prey.all) func flows_areDeterministic(_ prey: Prey) throws {
    try prey.sound().isDeterministic()
  }
}
