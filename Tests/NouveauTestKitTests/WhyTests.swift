import Base
import Foundation
import NouveauTestKit
import Testing

/// Why pages stayed, from a scenario's steps to its report.
@Suite struct WhyTests {
  private static let steps = """
    - fill: {mapping: buffer, pages: P0..P3, pattern: index}
    - pin: {name: guard, mapping: buffer, pages: P1..P2}
    - migrate: {mapping: buffer, pages: P0..P3, to: device}
    """

  private func run(_ steps: String, explains: Bool = false) throws -> RunReport {
    let runner = ScenarioRunner { request throws(KernelError) in try MachineTarget(request) }
    return runner.run(try Kit.scenario(steps), RunOptions(explains: explains)).report
  }

  @Test func explanation_isATableOfRuns() throws {
    let report = try run(Self.steps + "\n- unpin: guard", explains: true)
    #expect(
      report.explanation() == """
          step 3, migrate P0..P3 of buffer to device: 2 of 4 pages moved, 2 stayed
            P1..P2  pinned  the page is pinned (pin_user_pages): 2 references, 1 expected, \
        1 mapping, 1 pin

        """)
    #expect(report.json.text(isCompact: true).contains(#""reason":"pinned""#))
  }

  @Test func everyPageMoved_andNoMigrationAtAll_areSaid() throws {
    let moved = try run(
      "- fill: {mapping: buffer, pattern: index}\n- migrate: {mapping: buffer, to: device}",
      explains: true)
    #expect(moved.explanation().contains("16 of 16 pages moved, none stayed"))
    let none = try run("- touch: {mapping: buffer}", explains: true)
    #expect(none.explanation() == "  no migration\n")
  }

  @Test func aWrongExpectation_saysWhatIsSo() throws {
    let report = try run(
      Self.steps + "\n- expect: {why: {buffer: {P0: pinned, P1..P2: locked, P4: none}}}")
    #expect(
      report.mismatches.map(\.expected) == ["P0 of buffer: pinned", "P1..P2 of buffer: locked"])
    #expect(report.mismatches.first?.got == "it moved")
    #expect(report.mismatches.last?.got.hasPrefix("pinned: the page is pinned") == true)
  }

  @Test func aList_allowsEach() throws {
    let allowed = try run(
      Self.steps
        + "\n- unpin: guard\n- expect: {why: {buffer: {P0: [locked, none], P1: [none, pinned]}}}"
    )
    #expect(allowed.mismatches.isEmpty)
    let refused = try run(
      Self.steps + "\n- unpin: guard\n- expect: {why: {buffer: {P1: [none, locked]}}}")
    #expect(refused.mismatches.map(\.expected) == ["P1 of buffer: it moved or locked"])
  }

  @Test func anUnknownReason_isAnErrorInItsPlace() {
    #expect(
      Kit.errors(Kit.header + "  - expect: {why: {buffer: {P1: pined}}}\n")
        == ["f.yaml:8:33: error: 'P1' is 'pined'; did you mean 'pinned'?"])
  }

  @Test func withoutBeingAsked_nothingIsKept() throws {
    let report = try run(Self.steps + "\n- unpin: guard")
    #expect(report.migrations == nil && !report.json.text().contains("migrations"))
  }

  /// Each reason of the scenario that only a race gives is met in some order.
  @Test(arguments: ["notifier-retry", "lost-race"])
  func someOrder_losesTheRace(reason: String) throws {
    let file = "docs/scenarios/why-races-are-lost.yaml"
    let scenario = try ScenarioParser().parse(try Repository.text(file), file: file)
    let runner = ScenarioRunner { request throws(KernelError) in try MachineTarget(request) }
    // Behind the race stands the same reason once more, from an armed failure.
    let race = reason == "lost-race" ? "empty" : "P0..P3 of buffer"
    let isMet = (0..<200 as Range<UInt64>).contains { seed in
      let report = runner.run(scenario, RunOptions(seed: seed, explains: true)).report
      let notes = (report.migrations ?? []).filter { $0.title.contains(race) }
      return notes.first?.stayed.contains { $0.reason == reason } == true
    }
    #expect(isMet)
  }

  /// A target of somebody else's need not tell reasons.
  @Test func aTargetWithoutReasons_hasNone() throws {
    let report = try Kit.run(
      "- migrate: {mapping: buffer, to: device}\n- expect: {why: {buffer: {P1: pinned}}}")
    #expect(report.mismatches.map(\.got) == ["it moved"])
  }
}

@Suite struct WalkBenchTests {
  @Test func threeSequences_areMeasuredOnFiveContents() throws {
    let report = try WalkBench(pages: 64, samples: 1).run()
    #expect(report.rows.count == 15)
    for row in report.rows where row.sequence == .unified {
      #expect(row.passes == 1, "\(row.content)")
    }
    for row in report.rows where row.sequence == .faultFirst { #expect(row.passes >= 2) }
    let absent = report.rows.filter { $0.content == .absent }
    #expect(absent.map(\.faults) == [64, 64, 64])
    #expect(absent.map(\.passes) == [2, 3, 1])
    let present = report.rows.filter { $0.content == .present }
    #expect(present.map(\.passes) == [2, 1, 1] && present.allSatisfy { $0.faults == 0 })
    let svg = report.svg()
    #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
    #expect(svg.components(separatedBy: "<rect").count == 1 + 1 + 3 + 30)
    #expect(report.markdown().split(separator: "\n").count == 17)
    #expect(report.json.text().contains("\"walks\": 3"))
  }
}
