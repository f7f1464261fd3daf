import Base
import KernelRuntime
import NouveauTestKit
import Testing

/// Every shipped scenario under the explorer.
@Suite struct ScenarioFlowTests {
  /// The shipped scenario in the file `name`, read once a test.
  static func flow(_ name: String, countsCoverage: Bool = false) throws -> ScenarioFlow {
    let file = "docs/scenarios/\(name)"
    let scenario = try ScenarioParser().parse(try Repository.text(file), file: file)
    return ScenarioFlow(scenario, countsCoverage: countsCoverage)
  }

  static let names = (try? Repository.scenarios().map(\.name)) ?? []

  /// Pages of a scenario: large ones run fewer orders here, and all of them in the nightly run.
  private static func isLarge(_ flow: ScenarioFlow) -> Bool {
    flow.scenario.mappings.reduce(0) { $0 + $1.pageCount } > 64
  }

  @Test func thereAreScenarios() { #expect(Self.names.count >= 30) }

  /// Large scenarios take too long in a debug build: CI sweeps them in a release build
  /// (docs/sweeps.md).
  static let sweptHere = names.filter { !((try? flow($0)).map(isLarge) ?? false) }

  /// Each point's first passage, with each of its errors.
  @Test(arguments: sweptHere)
  func everyScenario_survivesEachFirstFailure(name: String) throws {
    var sweep = Sweep()
    sweep.persistence = [.once]
    sweep.passageLimit = 1
    try Self.flow(name).survivesEachFailure(sweep)
  }

  /// Runs that follow one another use the same host memory: every byte that one wrote is zero
  /// again, or a run would depend on those before it.
  @Test(arguments: [
    "fault-races-bulk-migration", "demo", "suspend-and-resume", "exit-with-device-pages",
    "k04-fork-shares-device-pages", "microcode",
  ])
  func hostMemory_isCleanAfterEachRun(name: String) throws {
    let flow = try Self.flow(name + ".yaml")
    let runner = FlowRunner(flow)
    _ = runner.replay(Schedule(seed: 1), isStrict: false)
    // The machine's and its audit's, and shadow copies; a second run takes the same ones.
    #expect(runner.hostMemory.idleMappings == 6 + flow.scenario.mappings.count)
    _ = runner.replay(Schedule(seed: 2), isStrict: false)
    #expect(runner.hostMemory.idleMappings == 6 + flow.scenario.mappings.count)
    #expect(runner.hostMemory.isClean())
  }

  @Test func figures_areOfTheShippedScenarios() throws {
    #expect(
      BenchScenario.race == (try Repository.text("docs/scenarios/fault-races-bulk-migration.yaml")))
    #expect(BenchScenario.demo == (try Repository.text("docs/scenarios/demo.yaml")))
  }

  /// The edges of the migration's protocols are looked at too.
  @Test(arguments: names)
  func everyScenario_holdsInManyOrders(name: String) throws {
    let flow = try Self.flow(name, countsCoverage: true)
    try flow.holdsInOrders(Self.isLarge(flow) ? 3 : 20)
  }

  /// A search through all orders ends, because it leaves boot and filling as they are.
  @Test func race_holdsInAllOrdersWithoutPreemption() throws {
    let flow = try Self.flow("fault-races-bulk-migration.yaml")
    let report = try #require(try flow.holdsInAllOrders(.init(preemptions: 0), limit: 100))
    #expect(report.schedules > 1)
    #expect(report.distinctOrders == report.schedules)
  }

  @Test(arguments: [MigrationMark.faultDuringMigration, .waitOnEntry])
  func someOrder_reachesTheMark(mark: MigrationMark) throws {
    try Self.flow("m20-hot-page.yaml", countsCoverage: true).reaches(mark.rawValue, within: 20)
  }

  static let reaching = names.filter { (try? flow($0))?.scenario.reaches.isEmpty == false }

  /// What a scenario says some order has to reach. The explorer of the command line asks the same.
  @Test(arguments: reaching)
  func everyScenario_reachesWhatItNames(name: String) throws {
    let flow = try Self.flow(name, countsCoverage: true)
    for mark in flow.scenario.reaches { try flow.reaches(mark.rawValue, within: 60) }
  }

  @Test func reaches_takesMarksOnly() throws {
    #expect(Self.reaching.count >= 7)
    let file = "docs/scenarios/m20-hot-page.yaml"
    let text = try Repository.text(file)
    #expect(
      try ScenarioParser().parse(text, file: file).reaches
        == [.faultDuringMigration, .waitOnEntry])
    let wrong = text.replacing("wait on a migration entry]", with: "wait on a migration entri]")
    let errors = #expect(throws: ScenarioErrors.self) {
      try ScenarioParser().parse(wrong, file: file)
    }
    #expect(
      errors?.diagnostics.first?.description.contains("did you mean 'wait on a migration entry'")
        == true, "\(String(describing: errors?.diagnostics))")
  }

  @Test func theSameToken_givesTheSameTrace() throws {
    try Self.flow("m20-hot-page.yaml").isDeterministic(schedules: 3)
  }
}
