import Base
import KernelRuntime
import NouveauTestKit
import Testing

/// Which passages a sweep fails, and that it says what it leaves out.
@Suite struct SweepSelectionTests {
  /// Two batches: an allocation, a hundred mappings, an allocation. In the second step the 90th
  /// mapping is followed by another allocation.
  private static func batches() -> TaskFlow {
    TaskFlow("batches", points: [Canary.allocation, Canary.mapping]) { run in
      run.task("worker") { () throws(KernelError) in
        for batch in 1...2 {
          run.beginStep("\(batch)")
          try run.failures.check(Canary.allocation)
          for page in 1...100 {
            try run.failures.check(Canary.mapping)
            if batch == 2 && page == 90 { try run.failures.check(Canary.allocation) }
          }
          try run.failures.check(Canary.allocation)
        }
      }
    }
  }

  private func once() -> Sweep {
    var sweep = Sweep()
    sweep.persistence = [.once]
    return sweep
  }

  private func passages(_ report: SweepReport, of point: InjectionPoint) -> [UInt64] {
    var numbers: [UInt64] = []
    for injection in report.rows.flatMap(\.injections)
    where injection.point == point && numbers.last != injection.nth {
      numbers.append(injection.nth)
    }
    return numbers
  }

  @Test func passageLimit_keepsFirstAndLast_andSaysWhatIsLeftOut() {
    let flow = TaskFlow("many", points: [Canary.mapping]) { run in
      run.task("worker") { () throws(KernelError) in
        for _ in 0..<100 { try run.failures.check(Canary.mapping) }
      }
    }
    var sweep = once()
    sweep.passageLimit = 4
    let report = sweep.run(flow)
    #expect(report.rows.map { $0.injections[0].nth } == [1, 34, 67, 100])
    #expect(report.leftOut.beyondLimit == 96 && report.leftOut.alike == 0)
    #expect(report.summary.hasSuffix("; not run: 96 beyond the limit on passages"))
  }

  @Test func sample_keepsEachKindOfPassage() {
    var sweep = once()
    sweep.sample = 1
    let report = sweep.run(Self.batches())
    // Of each batch the first two, one between, the last two; in the second also the two on either
    // side of the allocation, of which 192 is like 102, and 199 like 189.
    #expect(
      passages(report, of: Canary.mapping)
        == [1, 2, 3, 99, 100, 101, 102, 103, 189, 190, 191, 200])
    #expect(passages(report, of: Canary.allocation) == [1, 2, 3, 4, 5])
    #expect(report.leftOut.alike == 200 - 12)
    sweep.sample = 2
    #expect(passages(sweep.run(Self.batches()), of: Canary.mapping).contains(98))
    sweep.sample = nil
    #expect(sweep.run(Self.batches()).rows.count == 200 + 2 * 5)
    // A flow that is small enough is swept whole.
    sweep.sample = 1
    sweep.sampleAbove = 210
    #expect(sweep.run(Self.batches()).rows.count == 210)
    #expect(sweep.run(Self.batches()).leftOut.total == 0)
    sweep.sampleAbove = 209
    #expect(sweep.run(Self.batches()).leftOut.alike == 200 - 12)
  }

  /// What was not run is skipped: it neither passes nor keeps what did run from passing.
  @Test func leftOut_isSkippedAndNotPassed() throws {
    var sweep = once()
    sweep.sample = 1
    let results = CheckResult.results(sweep.run(Self.batches())) { "repeat \($0)" }
    let skipped = results.filter { $0.status == .skipped }
    #expect(skipped.map(\.message) == ["not run: 188 of passages like others that were"])
    let set = ResultSet(results)
    #expect(set.passed && set.count(.passed) == 12 + 2 * 5)
    #expect(JUnitWriter().text(set).contains("skipped=\"1\""))
    #expect(TAPWriter().text(set).contains("# SKIP not run: 188"))
  }

  @Test func jobs_giveTheSameReport() {
    var sweep = Sweep()
    sweep.pairs = true
    sweep.shard = Shard(1, of: 2) ?? .whole
    @Sendable func flow() -> TaskFlow {
      TaskFlow("goes on", points: [Canary.allocation, Canary.mapping]) { run in
        run.task("worker") { () throws(KernelError) in
          var failed = 0
          for _ in 0..<3 {
            do throws(KernelError) {
              try run.failures.check(Canary.allocation)
              try run.failures.check(Canary.mapping)
            } catch {
              failed += 1
            }
          }
          run.expect(failed < 2, "failed-twice")
        }
      }
    }
    let one = sweep.run(flow())
    let many = sweep.run(jobs: 3) { flow() }
    #expect(one.count(.failed) > 0 && one.pairCount > 0)
    #expect(many.table == one.table)
    #expect(many.summary == one.summary)
    #expect(many.rows.map(\.token) == one.rows.map(\.token))
  }
}
