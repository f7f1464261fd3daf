import Base
import DMAFence
import Foundation
import KernelRuntime
import NouveauTestKit
import Testing

/// What `nouveau fences` shows.
@Suite struct FenceReportTests {
  private final class Driver: FenceOperations {
    let driverName = "test"
    let timelineName = "line"
  }

  private static func report(_ text: String) throws -> FenceReport {
    let scenario = try ScenarioParser().parse(text, file: "fences.yaml")
    return FenceReport.of(scenario) { request throws(KernelError) in try MachineTarget(request) }
  }

  private static let stalled = """
    scenario: stalled
    summary: A fence that never signals.
    processes: [{name: app, mappings: [{name: buffer, size: 2 pages}]}]
    steps:
      - fill: {mapping: buffer, random: 2}
      - migrate: {mapping: buffer, to: device, moved: 2}
      - stall: {nth: 1, signal: never}
      - read: {mapping: buffer, pages: P0}
        fails: SIGBUS
    """

  @Test func timeline_showsEmitSignalWaiterAndError() throws {
    let report = try Self.report(Self.stalled)
    #expect(report.run.passed)
    #expect(report.timelines.count == 1)
    let timeline = try #require(report.timelines.first)
    #expect(timeline.name == "copy engine channel")
    #expect(timeline.points.map(\.seqno) == [1, 2])
    #expect(timeline.points.map(\.error) == [nil, .ETIMEDOUT])
    #expect(timeline.points.flatMap(\.waiters).map(\.hasGivenUp) == [false, true])
    for point in timeline.points {
      let emitted = try #require(point.emitted)
      let signalled = try #require(point.signalled)
      #expect(emitted < signalled)
      #expect(point.waiters.allSatisfy { $0.time >= emitted })
    }
  }

  @Test func waitInVain_hasAGraphWithTheFenceAtItsEnd() throws {
    let report = try Self.report(Self.stalled)
    #expect(report.hangs.count == 1)
    let hang = try #require(report.hangs.first)
    #expect(hang.tasks.contains { $0.reason == .fence(context: 1, seqno: 2) })
    let text = report.text()
    #expect(text.contains("main gave up waiting for fence 1:2"))
    #expect(
      text.contains(
        "  chain: main -> fence 1:2 (copy engine channel), which nobody has signalled\n"))
    #expect(text == (try Self.report(Self.stalled).text()), "equal runs give equal text")
  }

  /// A run without an end: everybody who sleeps, what he holds, and each chain to its end.
  @Test func runWithoutEnd_showsEachChain() throws {
    let report = try Self.report(
      """
      scenario: asleep
      summary: Two tasks read pages of a device that nobody wakes.
      processes: [{name: app, mappings: [{name: buffer, size: 2 pages}]}]
      steps:
        - fill: {mapping: buffer, random: 2}
        - migrate: {mapping: buffer, to: device, moved: 2}
        - suspend:
        - parallel:
          - name: one
            steps: [{read: {mapping: buffer, pages: P0}}]
          - name: two
            steps: [{read: {mapping: buffer, pages: P1}}]
      """)
    #expect(!report.run.passed)
    let text = report.text()
    for line in [
      "the run came to no end", "  main waits for the end of one",
      "    -> one, which waits for nouveau dmem resume",
      "  one waits for nouveau dmem resume; holds mmap_lock",
      "  chain: main -> one -> nouveau dmem resume, where nobody wakes it",
      "  chain: two -> nouveau dmem resume, where nobody wakes it",
    ] {
      #expect(text.contains(line + "\n"), "missing: \(line)\n\(text)")
    }
  }

  /// Who took the lock has ended: the chain stops at the page, and says so.
  @Test func chainEndsAtAPageLock_thatNobodyLetsGo() throws {
    let text = """
      scenario: kept
      summary: A task ends with a page locked.
      covers: [L07]
      processes: [{name: app, mappings: [{name: buffer, size: 2 pages}]}]
      steps:
        - fill: {mapping: buffer, random: 2}
        - migrate: {mapping: buffer, to: device, moved: 2}
        - spawn: {task: keeper, steps: [{hold: {name: busy, mapping: buffer, page: P1}}]}
        - join: keeper
        - parallel:
          - name: reader
            steps: [{read: {mapping: buffer, pages: P1}}]
      """
    let report = try Self.report(text).text()
    for line in [
      "  reader waits for the lock of page 0x4001; holds mmap_lock",
      "  chain: main -> reader -> the lock of page 0x4001, which nobody lets go",
    ] {
      #expect(report.contains(line + "\n"), "missing: \(line)\n\(report)")
    }
    let flow = ScenarioFlow(try ScenarioParser().parse(text, file: "kept.yaml"))
    let offence = FlowRunner(flow).replay(Schedule(), isStrict: false).offences.first
    #expect(offence?.name == "hang.page-lock-never-released")
    #expect(
      offence?.detail
        == "reader waits for the lock of page 0x4001 and holds mmap_lock; behind it main")
  }

  @Test func circle_hasNoChainAndALineHas() throws {
    let kernel = Kernel()
    let (a, b) = (SleepingLock(kernel, .channel), SleepingLock(kernel, .reservation))
    let one = kernel.spawn("one") {
      await a.lock()
      await kernel.sleep(10)
      await b.lock()
    }
    let two = kernel.spawn("two") {
      await b.lock()
      await kernel.sleep(10)
      await a.lock()
    }
    kernel.spawn("three") { await one.join() }
    let graph = WaitGraph(try kernel.runUntilIdle())
    #expect(graph.circle?.map { $0.name } == ["one", "two"])
    #expect(graph.chains.isEmpty)
    let line = WaitGraph(graph.tasks.filter { $0.id != two.id })
    #expect(line.chains.map { $0.map { $0.name } } == [["three", "one"]])
  }

  @Test(
    arguments: [
      (0, "0 ns"), (999, "999 ns"), (3_000, "3.000 us"), (1_003_000, "1.003000 ms"),
      (15_000_006_012, "15.000006012 s"), (.max, "18446744073.709551615 s"),
    ] as [(UInt64, String)])
  func moments_haveEveryDigit(time: UInt64, text: String) {
    #expect(RunReport.exactTimeText(time) == text)
  }

  /// What docs/fences.md shows is what the command prints.
  @Test func document_showsTheCommandsOutput() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let path = root.appending(path: "docs/scenarios/a2-fence-never-signals.yaml").path
    let report = FenceReport.of(try ScenarioFile.load(path)) { request throws(KernelError) in
      try MachineTarget(request)
    }
    let document = try String(
      contentsOf: root.appending(path: "docs/fences.md"), encoding: .utf8)
    #expect(document.contains("\n" + report.text() + "```\n"), "now it prints:\n\(report.text())")
  }

  @Test func timelines_ofOneTraceAreTold() throws {
    let kernel = Kernel(trace: Trace(isOn: true))
    let row = kernel.trace.row("fence A", in: .fences)
    let driver = Driver()
    _ = try kernel.run("maker") {
      let first = Fence(kernel, operations: driver, context: 7, seqno: 1, row: row)
      let other = Fence(kernel, operations: driver, context: 8, seqno: 1)
      let waiter = kernel.spawn("waiter") { _ = await first.wait(timeout: 1_000) }
      await kernel.sleep(100)
      first.setError(.EIO)
      first.signal()
      await waiter.join()
      withExtendedLifetime(other) {}
    }
    let timelines = FenceTimeline.all(in: kernel.trace)
    #expect(timelines.map(\.context) == [7, 8])
    #expect(timelines.map(\.name) == ["A", "maker"])
    #expect(timelines.map(\.failed).first == 1)
    let waiters = timelines[0].points[0].waiters
    #expect(waiters == [FenceTimeline.Waiter(task: "waiter", time: 100, hasGivenUp: false)])
    // The viewer's rows name the error, too.
    let json = ChromeTrace.json(of: kernel.trace)
    #expect(json.contains("\"name\":\"fence.signal EIO\""))
    #expect(json.contains("\"args\":{\"name\":\"fence A\"}"))
  }
}
