import Base
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct TokenTests {
  private func sample(_ seed: UInt64) -> ReplayToken {
    var generator = SplitMix64(seed: seed)
    var entries: [Schedule.Entry] = []
    var index = 0
    for _ in 0..<generator.below(12) {
      index += generator.below(20)
      let decision: Decision =
        switch generator.below(3) {
        case 0: .time
        case 1: .runnable(generator.below(1000))
        default: .draw(generator.below(1 << 20))
        }
      entries.append(
        Schedule.Entry(
          index: index, decision: decision, check: UInt8(truncatingIfNeeded: generator.next())))
      index += 1
    }
    var injections: [Injection] = []
    for _ in 0..<generator.below(4) {
      let point = InjectionPoint.all[generator.below(InjectionPoint.all.count)]
      injections.append(
        Injection(
          point, nth: UInt64(1 + generator.below(99)), persists: generator.chance(1, in: 2)))
    }
    return ReplayToken(
      flow: ["bank", "two words/and a slash", "", "größe", "a%b"][generator.below(5)],
      schedule: Schedule(
        seed: generator.next(), entries: entries, decisionCount: index + generator.below(9),
        hash: UInt32(truncatingIfNeeded: generator.next())),
      injections: injections)
  }

  @Test(arguments: 0..<50) func text_readsBack(_ seed: Int) throws {
    let token = sample(UInt64(seed))
    #expect(try ReplayToken(parsing: token.description) == token)
  }

  @Test(arguments: 0..<20) func text_needsNoQuotesInAShell(_ seed: Int) {
    let plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.,%@+="
    #expect(sample(UInt64(seed)).description.allSatisfy { plain.contains($0) })
  }

  /// No single changed, lost or doubled byte goes unnoticed, and none traps.
  @Test(arguments: 0..<10) func slip_isRefused(_ seed: Int) {
    let bytes = Array(sample(UInt64(seed)).description.utf8)
    for index in bytes.indices {
      var changed = bytes
      changed[index] = changed[index] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
      var lost = bytes
      lost.remove(at: index)
      for wrong in [changed, lost, Array(bytes[..<index])] where wrong != bytes {
        #expect(throws: TokenError.self, "\(String(decoding: bytes, as: UTF8.self)) at \(index)") {
          try ReplayToken(parsing: String(decoding: wrong, as: UTF8.self))
        }
      }
    }
  }

  private func signed(_ body: String) -> String {
    // The sum of a made-up body, learned from the refusal's opposite: a token with the same body.
    var crc: UInt32 = .max
    for byte in body.utf8 {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }
    let digits = String(~crc, radix: 16)
    return body + "/" + String(repeating: "0", count: 8 - digits.count) + digits
  }

  @Test(arguments: [
    ("", "version: '' where 'n1' is expected; copy the whole word that the failing run printed"),
    (
      "n0/x/0/-/-/0.0",
      "version: 'n0' where 'n1' is expected; copy the whole word that the failing run printed"
    ),
    ("n1/x/0/-/-", "form: 6 parts between slashes instead of 7; was it cut off?"),
    ("n1/x/zz/-/-/0.0", "seed: 'zz' is no hexadecimal number"),
    ("n1/x/0/-/-/0", "end: '0' isn't COUNT.HASH"),
    ("n1/%4/0/-/-/0.0", "flow: '%4' isn't % and two hexadecimal digits"),
    ("n1/x/0/3q1.00/-/0.0", "choices: '3q1.00', the 1. decision, isn't GAP KIND VALUE . CHECK"),
    (
      "n1/x/0/0t.00,r1.00/-/0.0",
      "choices: 'r1.00', the 2. decision, isn't GAP KIND VALUE . CHECK"
    ),
    ("n1/x/0/-/mm.page_alloc/0.0", "failures: 'mm.page_alloc' has no @NUMBER"),
    ("n1/x/0/-/mm.nothing@1/0.0", "failures: no injection point 'mm.nothing'"),
    (
      "n1/x/0/-/mm.page_alloc@0/0.0",
      "failures: 'mm.page_alloc@0': the passage counts from 1"
    ),
    ("n1/x/0/-/mm.page_alloc@1=EWHAT/0.0", "failures: 'EWHAT' is no errno's name"),
  ])
  func badToken_isExplained(_ body: String, _ message: String) {
    let error = #expect(throws: TokenError.self) { try ReplayToken(parsing: signed(body)) }
    #expect(error?.description == "replay token: " + message)
  }

  // MARK: divergence

  private func flow(extraTask: Bool, extraPoint: Bool = false) -> TaskFlow {
    TaskFlow("flow") { run in
      let kernel = run.kernel
      for task in 0..<(extraTask ? 3 : 2) {
        run.task("task \(task)") {
          for _ in 0..<(extraPoint ? 4 : 3) { await kernel.point() }
        }
      }
    }
  }

  @Test func replay_ofAChangedFlowSaysWhere() throws {
    let runner = FlowRunner(flow(extraTask: false))
    let outcome = runner.run(RandomWalkChoices(seed: 3), seed: 3)
    #expect(runner.replay(outcome.schedule).divergence == nil)
    let first = try #require(outcome.schedule.entries.first)

    let other = FlowRunner(flow(extraTask: true)).replay(outcome.schedule)
    #expect(try #require(other.divergence).step == first.index)

    let longer = FlowRunner(flow(extraTask: false, extraPoint: true)).replay(outcome.schedule)
    #expect(longer.divergence != nil)
    #expect(throws: FlowViolation.self) {
      try flow(extraTask: true).replays(
        ReplayToken(flow: "flow", schedule: outcome.schedule), showing: nil)
    }
  }

  @Test(arguments: 0..<50) func everyRandomRun_replaysExactly(_ seed: Int) throws {
    let flow = Canary.boundedBuffer(wakesAll: false)
    let runner = FlowRunner(flow)
    let trace = Trace(isOn: true)
    let outcome = runner.run(
      RandomWalkChoices(seed: UInt64(seed)), seed: UInt64(seed), trace: trace)
    let token = try ReplayToken(
      parsing: ReplayToken(flow: flow.name, schedule: outcome.schedule).description)
    let again = Trace(isOn: true)
    let replay = runner.replay(token.schedule, trace: again)
    #expect(replay.divergence == nil)
    #expect(replay.orderHash == outcome.orderHash)
    #expect(replay.offences == outcome.offences)
    #expect(again.text() == trace.text())
  }

  @Test func draws_areListedOnlyWhenTheyDiffer() throws {
    let flow = TaskFlow("dice") { run in
      run.task("thrower") {
        for _ in 0..<20 { run.mark("\(run.kernel.draw(below: 6, "die"))") }
      }
    }
    let runner = FlowRunner(flow)
    let random = runner.run(RandomWalkChoices(seed: 11), seed: 11)
    #expect(random.schedule.entries.isEmpty)
    let replay = runner.replay(random.schedule)
    #expect(replay.divergence == nil)
    #expect(replay.marks == random.marks)
    let loaded = runner.replay(
      Schedule(seed: 11, entries: [Schedule.Entry(index: 4, decision: .draw(5))]), isStrict: false)
    #expect(runner.replay(loaded.schedule).marks == loaded.marks)
  }

  @Test func narration_tellsDecisionsAndTheOffence() throws {
    let report = Exploration(.exhaustive(.init()), schedules: 100).explore(
      Canary.bank(locked: false))
    let token = try #require(report.findings.first).best
    let lines = Canary.Cell<[String]>([])
    Narrator(Canary.bank(locked: false)) { lines.value.append($0) }.narrate(token)
    #expect(
      lines.value == [
        "-- decision 2: deposit is preempted, withdrawal goes",
        "-- withdrawal: ok", "-- deposit: ok",
        "-- OFFENCE lost-update: balance 150, not 120",
      ])
  }

  @Test func decisions_areNarrated() throws {
    let runner = FlowRunner(Canary.bank(locked: false))
    let lines = Canary.Cell<[String]>([])
    runner.observer = { index, current, chosen, _ in
      lines.value.append("\(index) \(current?.name ?? "-") \(chosen?.name ?? "time")")
    }
    _ = runner.replay(Schedule(entries1: 1, .runnable(1)), isStrict: false)
    #expect(lines.value.first == "0 - deposit")
    #expect(lines.value.dropFirst().first == "1 deposit withdrawal")
  }
}

extension Schedule {
  /// A schedule with one decision.
  fileprivate init(entries1 index: Int, _ decision: Decision) {
    self.init(seed: 0, entries: [Entry(index: index, decision: decision)])
  }
}
