import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct RunnerTests {
  @Test func aRunThatHolds_passesWithoutMismatch() throws {
    let report = try Kit.run(
      """
      - fill: {mapping: buffer, pattern: index}
      - migrate: {mapping: buffer, to: device, moved: 16}
      - expect:
          location: {buffer: {P0..P15: device}}
          counters: {pages-to-device: 16}
          data: [{mapping: buffer}]
          fences: {signalled: 1, pending: 0}
          trace: {order: [fence.emit, fence.signal], absent: [fence.error]}
          leaks: none
      - read: {mapping: buffer}
      """)
    #expect(report.mismatches == [])
    #expect(report.stepCount == 4)
  }

  @Test func wrongBytes_areReportedWithPlaceAndReplayLine() throws {
    let report = try Kit.run(
      """
      - fill: {mapping: buffer, bytes: "11"}
      - migrate: {mapping: buffer, pages: P2..P3, to: device}
      - read: {mapping: buffer}
      - touch: {mapping: buffer}
      """, seed: 5,
      adjust: { $0.corruptsOnMigration = true })
    #expect(
      report.text() == """
        FAIL  test  3 steps, 1.0 us, seed 5
          test.yaml:10:5: step 3, read P0..P15 of buffer
            expected: 0x11 at P2
            got:      0xee at P2
          again: nouveau run test.yaml --seed 5

        """)
  }

  @Test func anInjectedFailure_isTheExpectedOutcomeOnce() throws {
    let report = try Kit.run(
      """
      - fill: {mapping: buffer, random: 3}
      - migrate: {mapping: buffer, to: device}
      - arm: {point: nouveau.copy_submit, nth: 2}
      - touch: {mapping: buffer, pages: P0}
      - touch: {mapping: buffer, pages: P1}
        fails: SIGBUS
      - touch: {mapping: buffer, pages: P1}
      - expect: {errors: {SIGBUS: 1}, injected: {nouveau.copy_submit: 1}}
      """)
    #expect(report.mismatches == [])
    #expect(report.injected.map(\.strikes) == [1])
  }

  @Test func anUnexpectedError_namesWhatWasExpected() throws {
    let report = try Kit.run(
      """
      - unmap: {mapping: buffer, pages: P4}
      - read: {mapping: buffer, pages: P4}
      """)
    let mismatch = try #require(report.mismatches.first)
    #expect(mismatch.step == "2")
    #expect(mismatch.expected == "success")
    #expect(mismatch.got == "SIGSEGV (P4)")
  }

  @Test func aFailureThatNeverFires_doesNotPass() throws {
    let steps = "- arm: {point: gpu.ecc_poison, nth: 1}\n- touch: {mapping: buffer}"
    let report = try Kit.run(steps)
    #expect(report.mismatches.first?.expected == "gpu.ecc_poison fails, passage 1")
    let optional = try Kit.run(steps.replacing("nth: 1", with: "nth: 1, optional: true"))
    #expect(optional.passed)
  }

  @Test func theAuditAtTheEnd_failsARunOfGoodSteps() throws {
    let report = try Kit.run(
      "- touch: {mapping: buffer}", adjust: { $0.offences = ["page 7 has no owner"] })
    #expect(report.mismatches.map(\.got) == ["page 7 has no owner"])
    #expect(report.mismatches.map(\.step) == ["end"])
  }

  @Test func aDeadlock_isReportedInsteadOfHanging() throws {
    let report = try Kit.run(
      """
      - spawn:
          task: a
          steps:
            - delay: 1 ms
            - join: a
      """)
    #expect(report.mismatches.first?.got.hasPrefix("deadlock: ") == true)
  }

  @Test func parallelWrites_mayLeaveEitherValue() throws {
    for seed in UInt64(0)..<20 {
      let report = try Kit.run(
        """
        - parallel:
            - {steps: [{write: {mapping: buffer, at: P0, value: 1}}]}
            - {steps: [{write: {mapping: buffer, at: P0, value: 2}}]}
            - {steps: [{read: {mapping: buffer, at: P0}}]}
        - read: {mapping: buffer, at: P0}
        - write: {mapping: buffer, at: P0, value: 3}
        - read: {mapping: buffer, at: P0, value: 3}
        """, seed: seed)
      #expect(report.passed, "\(report.text())")
    }
  }

  @Test func locations_areReportedAsRunsOfPages() throws {
    let report = try Kit.run(
      """
      - touch: {mapping: buffer}
      - migrate: {mapping: buffer, pages: P4..P7, to: device}
      - expect: {location: {buffer: {P0..P15: ram}}}
      """)
    #expect(report.mismatches.map(\.expected) == ["P4..P7 of buffer: ram"])
    #expect(report.mismatches.map(\.got) == ["device"])
  }

  @Test func anAbsentTraceEvent_getsTheNearestName() throws {
    let report = try Kit.run(
      """
      - touch: {mapping: buffer}
      - migrate: {mapping: buffer, to: device}
      - expect: {trace: {order: [fence.emitt]}}
      """)
    #expect(report.mismatches.first?.got == "it never happened; did you mean 'fence.emit'?")
  }

  @Test func repeatAndSpawn_countEachStepTheyRun() throws {
    let report = try Kit.run(
      """
      - repeat: {times: 3, steps: [{touch: {mapping: buffer}}]}
      - spawn: {task: t, steps: [{touch: {mapping: buffer}}]}
      - join: t
      """)
    #expect(report.passed)
    #expect(report.stepCount == 7)
  }

  @Test func theSameSeed_givesTheSameTraceTwice() throws {
    let scenario = try Kit.scenario(
      """
      - parallel:
          - {steps: [{migrate: {mapping: buffer, to: device}}]}
          - {steps: [{touch: {mapping: buffer}}]}
          - {steps: [{migrate: {mapping: buffer, pages: P3..P9, to: device}}]}
      """)
    func trace() throws -> String {
      let runner = ScenarioRunner { FakeTarget($0) }
      let run = runner.run(scenario, RunOptions(seed: 4, isTracing: true))
      return try ChromeTrace.json(of: #require(run.target).kernel.trace)
    }
    #expect(try trace() == trace())
  }

  /// The audit's line names a fence: the run is repeated with a trace, which names its emission.
  @Test func auditsOffence_hasTheEventThatMadeIt() throws {
    let scenario = try Kit.scenario("- migrate: {mapping: buffer, to: device}")
    var runs = 0
    let runner = ScenarioRunner { request in
      runs += 1
      let target = FakeTarget(request)
      target.offences = ["fence 1:1 is lost", "rss 3, entries 2"]
      return target
    }
    let report = runner.run(scenario).report
    #expect(runs == 2)
    #expect(report.mismatches.map(\.got) == ["fence 1:1 is lost", "rss 3, entries 2"])
    let origin = try #require(report.mismatches.first?.origin)
    #expect(origin.hasSuffix("context=1 seqno=1"), "\(origin)")
    #expect(report.mismatches.last?.origin == nil)
    #expect(report.text().contains("\n    made by:  \(origin)\n"))
  }
}
