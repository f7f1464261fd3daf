import Base
import KernelRuntime
import NouveauTestKit
import Testing

/// Offences name the event that made them, and runs that hold keep no trace for it.
@Suite struct OriginTests {
  private static let touched = TraceKind("demo.touch", ["address", "pages"])
  private static let taken = TraceKind("demo.take", ["pfn", "pages"])
  private static let fence = TraceKind("demo.fence", ["context", "seqno"])
  private static let kill = TraceKind("demo.kill", ["channel"])

  private static func trace() -> Trace {
    let trace = Trace(isOn: true)
    let row = trace.row("mover", in: .cpu)
    trace.record(touched, 0x7fff_0000_0000, 4, on: row)
    trace.record(taken, 16, 8, on: row)
    trace.record(fence, 3, 17)
    trace.record(kill, 2)
    trace.record(taken, 20)
    return trace
  }

  @Test(arguments: [
    ("app: an entry left at 0x7fff00003000", "demo.touch"), ("page 17: 3 references", "demo.take"),
    ("the first is 0x11", "demo.take"), ("0x10000011000 was unmapped twice", "demo.take"),
    ("fence 3:17 is pending", "demo.fence"), ("1 pending on the dead channel 2", "demo.kill"),
    ("mover waits for a lock", "demo.take"),
  ])
  func line_findsItsEvent(line: String, kind: String) throws {
    #expect(Self.trace().origin(of: line)?.kind.name == kind)
  }

  @Test(arguments: [
    "app: rss 34, entries 33", "page 99 is lost", "0x7fff00004000", "fence 3:18", "channel 5",
    "movers wait", "page", "",
  ])
  func line_ofSomethingElse_findsNone(line: String) {
    #expect(Self.trace().origin(of: line) == nil)
  }

  @Test func last_eventOfThoseLookedAt_counts() {
    let trace = Self.trace()
    #expect(trace.origin(of: "page 20")?.b == 0)
    #expect(trace.origin(of: "page 20", within: 4)?.b == 8)
  }

  /// A page that is taken twice and given back once, when the first allocation fails.
  private static func leak(traces: Canary.Cell<Int>) -> TaskFlow {
    TaskFlow("leak", points: [Canary.allocation]) { run in
      if run.trace.isOn { traces.value += 1 }
      var isHeld = false
      run.task("worker") { () throws(KernelError) in
        await run.kernel.point()
        run.trace.record(taken, 5)
        do throws(KernelError) {
          try run.failures.check(Canary.allocation)
        } catch {
          run.trace.record(taken, 5, 1)
          isHeld = true
        }
      }
      run.atEnd {
        run.trace.record(taken, 5, 9)
        run.expect(!isHeld, "audit.leak", "page 5 belongs to nobody")
      }
    }
  }

  @Test func sweep_namesTheEvent_andTracesOnlyWhatFailed() throws {
    let traces = Canary.Cell(0)
    var sweep = Sweep()
    sweep.persistence = [.once]
    let report = sweep.run(Self.leak(traces: traces))
    let offence = try #require(report.firstProblem?.offences.first)
    // The event while the end was looked at says nothing.
    #expect(offence.origin?.contains("worker demo.take pfn=5 pages=1") == true, "\(offence)")
    #expect(report.table.contains("page 5 belongs to nobody (made by: "))
    // Both failures of the point are found; each was repeated once.
    #expect(report.count(.failed) == 2 && traces.value == 2)
    try Self.leak(traces: traces).holdsInOrders(20)
    #expect(traces.value == 2)
  }

  @Test func exploration_andReplay_nameTheEvent() throws {
    var plan = Exploration(.random, schedules: 5)
    plan.injections = [Injection(Canary.allocation)]
    let flow = Self.leak(traces: Canary.Cell(0))
    let finding = try #require(plan.explore(flow).findings.first)
    #expect(finding.offence.origin?.contains("demo.take pfn=5 pages=1") == true)
    var lines: [String] = []
    Narrator(flow) { lines.append($0) }.narrate(finding.best)
    #expect(lines.contains { $0.hasPrefix("-- OFFENCE audit.leak") && $0.contains("made by: ") })
  }
}
