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

  /// Each point's first passage, with each of its errors. Scenarios that unbind the driver are left
  /// out: after a copy that keeps failing, an unbound driver leaves entries behind.
  @Test(arguments: names)
  func everyScenario_survivesEachFirstFailure(name: String) throws {
    let flow = try Self.flow(name)
    guard !name.contains("teardown"), !Self.isLarge(flow) else { return }
    var sweep = Sweep()
    sweep.persistence = [.once]
    sweep.passageLimit = 1
    sweep.points = InjectionPoint.all.map(\.name).filter { $0 != "gpu.ecc_poison" }
    try flow.survivesEachFailure(sweep)
  }

  @Test(arguments: names)
  func everyScenario_holdsInManyOrders(name: String) throws {
    let flow = try Self.flow(name)
    try flow.holdsInOrders(Self.isLarge(flow) ? 3 : 20)
  }

  @Test(arguments: [MigrationMark.faultDuringMigration, .waitOnEntry])
  func someOrder_reachesTheMark(mark: MigrationMark) throws {
    try Self.flow("m20-hot-page.yaml", countsCoverage: true).reaches(mark.rawValue, within: 20)
  }

  @Test func theSameToken_givesTheSameTrace() throws {
    try Self.flow("m20-hot-page.yaml").isDeterministic(schedules: 3)
  }
}
