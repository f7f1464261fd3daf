import Base
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct ShippedScenarioTests {
  private static func run(
    _ text: String, _ name: String, _ options: RunOptions = RunOptions()
  ) throws -> (report: RunReport, target: (any ScenarioTarget)?) {
    let scenario = try ScenarioParser().parse(text, file: "docs/scenarios/\(name)")
    return ScenarioRunner { request throws(KernelError) in try MachineTarget(request) }
      .run(scenario, options)
  }

  @Test func everyScenario_holdsAsItIs() throws {
    for (name, text) in try Repository.scenarios() {
      let report = try Self.run(text, name).report
      #expect(report.passed, "\(report.text())")
    }
  }

  /// In a random order, also those that are written for the plain one.
  @Test(arguments: UInt64(1)...3)
  func everyScenario_holdsInRandomOrders(seed: UInt64) throws {
    for (name, text) in try Repository.scenarios() {
      let random =
        text.contains("order: random")
        ? text
        : text.contains("\nmachine: {")
          ? text.replacing("\nmachine: {", with: "\nmachine: {order: random, ")
          : text.replacing("\nprocesses:", with: "\nmachine: {order: random}\nprocesses:")
      let report = try Self.run(random, name, RunOptions(seed: seed)).report
      #expect(report.passed, "in random order: \(report.text())")
    }
  }

  @Test func theSameSeed_givesTheSameTraceByteForByte() throws {
    for (name, text) in try Repository.scenarios()
    where ["ping-pong.yaml", "teardown-races-migration.yaml"].contains(name) {
      let options = RunOptions(seed: 11, isTracing: true)
      let first = try #require(try Self.run(text, name, options).target)
      let second = try #require(try Self.run(text, name, options).target)
      #expect(!first.kernel.trace.events.isEmpty)
      #expect(first.kernel.trace.text() == second.kernel.trace.text(), "\(name), seed 11")
    }
  }

  @Test func anotherSeed_givesAnotherOrder() throws {
    let (name, text) = try #require(
      try Repository.scenarios().first { $0.name == "ping-pong.yaml" })
    let traces = try [UInt64(1), 2].map { seed in
      let run = try Self.run(text, name, RunOptions(seed: seed, isTracing: true))
      return try #require(run.target).kernel.trace.text()
    }
    #expect(traces[0] != traces[1])
  }

  @Test func aWrongExpectation_failsOnTheMachineToo() throws {
    let (name, text) = try #require(
      try Repository.scenarios().first { $0.name == "n01-long-range.yaml" })
    let report = try Self.run(text.replacing("moved: 259", with: "moved: 128"), name).report
    #expect(report.mismatches.map(\.expected) == ["128 pages moved"])
    #expect(report.mismatches.map(\.got) == ["259"])
  }
}

@Suite struct DemoTests {
  @Test func theDemo_losesNothing() throws {
    var lines: [String] = []
    let bytes = (0..<(600 << 10)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    // A small payload and a plain sum for the hash: the story is what is tested.
    func sum(_ bytes: [UInt8]) -> String {
      "\(bytes.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) })"
    }
    let demo = try Demo(bytes: bytes, byteCount: 1 << 20, hash: sum) { lines.append($0) }
    let result = demo.run()
    #expect(result.offences == [])
    #expect(result.hashBefore == result.hashAfter)
    #expect(lines.contains { $0.contains("SIGBUS") })
    #expect(lines.last?.contains("the CPU reads everything") == true)
  }
}

@Suite struct BenchTests {
  @Test func aBriefBench_measuresEveryFigure() throws {
    let report = try Bench(.brief).run()
    #expect(report.measurements.allSatisfy { !$0.samples.isEmpty })
    #expect(report.measurements.count { $0.goal != .none } >= 7)
  }
}
