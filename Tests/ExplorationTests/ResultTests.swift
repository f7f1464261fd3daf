import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct ResultTests {
  private func sample() -> ResultSet {
    var failed = CheckResult(
      suite: "fault & fence", name: "orders <random>", status: .failed, message: "lost \"update\"")
    failed.token = "n1/x/0/-/-/0.0/0"
    failed.command = "n1/x/0"
    failed.detail = "a\u{1}b"
    failed.runs = 12
    failed.properties = [.init("seed", "0")]
    return ResultSet([
      failed,
      CheckResult(suite: "fault & fence", name: "plain #1", status: .passed),
      CheckResult(suite: "other", name: "gpu", status: .skipped, message: "no # device"),
      CheckResult(suite: "other", name: "late", status: .invalid, message: "never\nstruck"),
    ])
  }

  @Test func junit_isWhatReadersExpect() {
    #expect(
      JUnitWriter().text(sample()) == """
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="nouveau" tests="4" failures="1" errors="1" skipped="1">
          <testsuite name="fault &amp; fence" tests="2" failures="1" errors="0" skipped="0">
            <testcase classname="fault &amp; fence" name="orders &lt;random&gt;">
              <properties>
                <property name="runs" value="12"/>
                <property name="seed" value="0"/>
              </properties>
              <failure message="lost &quot;update&quot;">n1/x/0&#10;a\u{fffd}b</failure>
            </testcase>
            <testcase classname="fault &amp; fence" name="plain #1">
            </testcase>
          </testsuite>
          <testsuite name="other" tests="2" failures="0" errors="1" skipped="1">
            <testcase classname="other" name="gpu">
              <skipped message="no # device"/>
            </testcase>
            <testcase classname="other" name="late">
              <error message="never&#10;struck"></error>
            </testcase>
          </testsuite>
        </testsuites>

        """)
  }

  @Test func tap_isVersion14() {
    #expect(
      TAPWriter().text(sample()) == ##"""
        TAP version 14
        1..4
        not ok 1 - fault & fence: orders <random>
          ---
          severity: fail
          message: "lost \"update\""
          token: "n1/x/0/-/-/0.0/0"
          command: "n1/x/0"
          detail: "a\u0001b"
          ...
        ok 2 - fault & fence: plain \#1
        ok 3 - other: gpu # SKIP no \# device
        not ok 4 - other: late
          ---
          severity: invalid
          message: "never\nstruck"
          ...

        """##)
  }

  @Test func emptyTap_isASkipAndNoPass() {
    #expect(TAPWriter().text(ResultSet()) == "TAP version 14\n1..0 # SKIP nothing was run\n")
    #expect(!ResultSet().passed)
    #expect(!ResultSet([CheckResult(suite: "a", name: "b", status: .skipped)]).passed)
    #expect(ResultSet().exitStatus == 1)
  }

  @Test func json_readsBackAndSortsItsKeys() throws {
    let text = sample().json
    #expect(try ResultSet(json: text) == sample())
    #expect(text == sample().json)
  }

  @Test(arguments: ["", "[]", "{\"version\":1}", "{\"version\":1,\"shards\":3,\"results\":[]}"])
  func badJson_isRefused(_ text: String) {
    #expect(throws: ResultSet.FormatError.self) { try ResultSet(json: text) }
  }

  private func part(_ index: Int, of count: Int, _ results: [CheckResult]) throws -> ResultSet {
    ResultSet(results, shard: try #require(Shard(index, of: count)))
  }

  @Test func merge_takesTheWorstAndAddsRuns() throws {
    var first = CheckResult(suite: "a", name: "orders", status: .passed)
    first.runs = 10
    var second = CheckResult(suite: "a", name: "orders", status: .failed, message: "boom")
    second.runs = 3
    let skipped = CheckResult(suite: "a", name: "sweep", status: .skipped)
    let passed = CheckResult(suite: "a", name: "sweep", status: .passed)
    let merged = try ResultSet.merge([
      part(1, of: 2, [first, skipped]), part(2, of: 2, [second, passed]),
    ])
    #expect(merged.results.map(\.status) == [.failed, .passed])
    #expect(merged.results.map(\.runs) == [13, 2])
    #expect(merged.results[0].message == "boom")
    #expect(merged.shards == ["1/1"])
  }

  @Test func merge_refusesMissingDoubledAndMixedShards() throws {
    let a = try part(1, of: 3, [])
    let b = try part(3, of: 3, [])
    #expect(throws: ResultSet.MergeError.missing(["2/3"])) { try ResultSet.merge([a, b]) }
    #expect(throws: ResultSet.MergeError.twice("1/3")) { try ResultSet.merge([a, a]) }
    let other = try part(1, of: 2, [])
    #expect(throws: ResultSet.MergeError.mixed(["1/3", "1/2"])) {
      try ResultSet.merge([a, other])
    }
    #expect(throws: ResultSet.MergeError.nothing) { try ResultSet.merge([]) }
  }

  // MARK: parts to which nothing falls

  /// As jobs do: each does a part of the sweep or of the orders, and their results are joined.
  private func parts(
    _ count: Int, _ body: (Shard) throws -> [CheckResult]
  ) throws -> [ResultSet] {
    try (1...count).map { index in
      let shard = try #require(Shard(index, of: count))
      return ResultSet(try body(shard), shard: shard)
    }
  }

  @Test func sweepPartsWithoutAFailure_areSkippedAndNotInvalid() throws {
    let flow = Canary.unlock(forgets: false)
    let whole = Sweep().run(flow)
    let count = whole.rows.count + 2
    let sets = try parts(count) { shard in
      var sweep = Sweep()
      sweep.shard = shard
      let report = sweep.run(flow)
      #expect(report.total == whole.rows.count)
      #expect(report.passed && report.isEmptyPart == report.rows.isEmpty)
      return CheckResult.results(report) { "\($0)" }
    }
    #expect(sets.allSatisfy { $0.passed })
    let empty = try #require(sets.last)
    #expect(empty.results.map(\.status) == [.skipped])
    #expect(
      empty.results.map(\.message)
        == ["none of \(whole.rows.count) failures falls to part \(count)/\(count)"])
    #expect(empty.exitStatus == 0)
    #expect(try ResultSet(json: empty.json).passed)
    let merged = try ResultSet.merge(sets)
    let ofWhole = CheckResult.results(whole) { "\($0)" }
    #expect(Set(merged.results) == Set(ofWhole) && merged.results.count == ofWhole.count)
    // All of it in one job, with nothing to fail, is no empty part.
    let nothing = TaskFlow("nothing") { run in run.task("worker") {} }
    #expect(!Sweep().run(nothing).passed)
  }

  @Test func explorationPartsWithoutAnOrder_areSkippedAndNotPassed() throws {
    let sets = try parts(5) { shard in
      var plan = Exploration(.random, schedules: 3)
      plan.shard = shard
      let report = plan.explore(Canary.bank(locked: true))
      #expect(report.isEmptyPart == (shard.index > 3))
      return [CheckResult(report) { "\($0)" }]
    }
    #expect(sets.map { $0.results[0].status } == [.passed, .passed, .passed, .skipped, .skipped])
    #expect(sets[4].results[0].message == "no order falls to part 5/5")
    #expect(sets.allSatisfy { $0.passed })
    let merged = try ResultSet.merge(sets)
    #expect(merged.results.map(\.status) == [.passed])
    #expect(merged.results.map(\.runs) == [3])
  }

  /// What some order has to reach, one part reaches for all; nobody may leave it to the others.
  @Test func mark_isReachedByOnePartForAll() throws {
    func sets(_ mark: String) throws -> [ResultSet] {
      try parts(2) { shard in
        var plan = Exploration(.random, schedules: 2)
        plan.shard = shard
        let flow = TaskFlow("marks") { run in
          run.task("worker") { if shard.index == 2 { run.mark("second") } }
        }
        let report = plan.explore(flow)
        return [
          CheckResult(report) { "\($0)" }, CheckResult(reaching: mark, report) { "r \($0)" },
        ]
      }
    }
    let reached = try sets("second")
    #expect(reached.map { $0.results[1].status } == [.skipped, .passed])
    #expect(reached.allSatisfy { $0.passed })
    #expect(try ResultSet.merge(reached).results.map(\.status) == [.passed, .passed])
    let missed = try ResultSet.merge(try sets("third"))
    #expect(missed.results.map(\.status) == [.passed, .failed])
    #expect(missed.results[1].name == "reaches third" && missed.results[1].runs == 2)
    let whole = Exploration(.random, schedules: 2).explore(Canary.bank(locked: true))
    #expect(CheckResult(reaching: "x", whole) { "\($0)" }.status == .failed)
  }

  @Test func exploration_becomesAResultWithItsCommand() throws {
    let report = Exploration(.random, schedules: 200).explore(Canary.bank(locked: false))
    let result = CheckResult(report) { "nouveau replay \($0)" }
    #expect(result.status == .failed)
    let token = try #require(result.token)
    #expect(result.command == "nouveau replay \(token)")
    #expect(result.message.contains("lost-update: balance"))
    let sound = Exploration(.random, schedules: 50).explore(Canary.bank(locked: true))
    #expect(CheckResult(sound) { "\($0)" }.status == .passed)
  }

  @Test func sweep_becomesOneResultAFailure() {
    let results = CheckResult.results(Sweep().run(Canary.unlock(forgets: true))) { "r \($0)" }
    #expect(results.count == 10)
    #expect(results.count { $0.status == .failed } == 4)
    let nothing = TaskFlow("nothing") { run in run.task("worker") {} }
    #expect(CheckResult.results(Sweep().run(nothing)) { "r \($0)" }.map(\.status) == [.invalid])
  }

  // MARK: one line that replays

  @Test func violation_isOneLineWithTheCommand() throws {
    let error = #expect(throws: FlowViolation.self) {
      try Canary.bank(locked: false).holdsInOrders(500)
    }
    let line = try #require(error).description
    #expect(!line.contains("\n"))
    #expect(line.hasPrefix("bank: lost-update: balance "))
    #expect(line.contains(" | repeat: NOUVEAU_REPLAY=n1/bank/"))
    #expect(
      line.hasSuffix("swift test --filter 'violation_isOneLineWithTheCommand'"), "\(line)")
    let token = try ReplayToken(parsing: try #require(error?.token))
    try Canary.bank(locked: false).replays(token, showing: "lost-update")
    #expect(throws: FlowViolation.self) {
      try Canary.bank(locked: false).replays(token, showing: nil)
    }
  }

  @Test(arguments: ["plain", "random", "pct:4", "exhaustive:2", "exhaustive:all:sleepSets"])
  func strategyName_readsBack(_ name: String) throws {
    #expect(try #require(Strategy(name: name)).name == name)
  }

  @Test(arguments: ["", "pct:0", "pct:x", "exhaustive:-1", "exhaustive:2:most", "plain:1", "fifo"])
  func badStrategyName_isRefused(_ name: String) { #expect(Strategy(name: name) == nil) }

  @Test(arguments: ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3"])
  func badShard_isRefused(_ text: String) { #expect(Shard(parsing: text) == nil) }

  @Test func text_saysWhatWasFoundAndHowToSeeItAgain() throws {
    let report = Exploration(.exhaustive(.init()), schedules: 500).explore(
      Canary.bank(locked: false))
    let token = try #require(report.findings.first).best
    #expect(
      report.text { "nouveau replay \($0)" } == """
        bank: 2 schedules by exhaustive:2, seed 0: 2 different orders, at most 5 decisions
          OFFENCE lost-update: balance 150, not 120
            first in schedule 1, in 1 of 2; 1 decision that differs (found with 1)
            repeat: nouveau replay \(token)

        """)
    let sound = Exploration(.exhaustive(.init()), schedules: 500).explore(
      Canary.bank(locked: true))
    #expect(
      sound.text { "\($0)" }.hasSuffix("  no offence; no order within the bounds was left out\n"))
  }

  @Test func threads_findWhatOneFinds() throws {
    var plan = Exploration(.random, schedules: 400)
    plan.failureLimit = .max
    let one = plan.explore(Canary.bank(locked: false))
    let many = plan.explore(jobs: 3) { Canary.bank(locked: false) }
    #expect(many.schedules == one.schedules)
    #expect(many.failures == one.failures)
    #expect(many.distinctOrders == one.distinctOrders)
    #expect(many.findings.map(\.schedule) == one.findings.map(\.schedule))
    #expect(many.findings.map(\.best) == one.findings.map(\.best))
    #expect(many.isComplete)
  }

  @Test func randomShards_seeTheSameOrdersAsTheWhole() throws {
    func hashes(_ shard: Shard) -> Int {
      var plan = Exploration(.random, schedules: 60, seed: 5)
      plan.shard = shard
      return plan.explore(Canary.boundedBuffer(wakesAll: true)).schedules
    }
    let parts = try (1...3).map { hashes(try #require(Shard($0, of: 3))) }
    #expect(parts == [20, 20, 20])
    // The order that fails is the same one whoever runs it.
    let whole = Exploration(.random, schedules: 2000).explore(
      Canary.boundedBuffer(wakesAll: false))
    let finding = try #require(whole.findings.first)
    var again = Exploration(.random, schedules: 1)
    again.first = finding.schedule
    let found = again.explore(Canary.boundedBuffer(wakesAll: false)).findings.first
    #expect(found?.token == finding.token)
  }
}
