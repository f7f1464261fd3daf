import Base
import KernelRuntime
import Testing

@Suite struct FailurePlanTests {
  private func strikes(_ when: FailurePlan.When, of passages: Int) -> [Int] {
    let plan = FailurePlan()
    plan.arm(.pageAlloc, when)
    return (1...passages).filter { _ in
      do throws(KernelError) {
        try plan.check(.pageAlloc)
        return false
      } catch {
        return error == .ENOMEM
      }
    }
  }

  @Test func rules_strikeWhereTheySay() {
    #expect(strikes(.nth(3), of: 6) == [3])
    #expect(strikes(.from(4), of: 6) == [4, 5, 6])
    #expect(strikes(.always, of: 3) == [1, 2, 3])
  }

  @Test func countingStarts_whenTheRuleIsArmed() throws {
    let plan = FailurePlan()
    try plan.check(.dmaMap)
    plan.arm(.dmaMap, .nth(1), error: .ENOMEM)
    #expect(throws: KernelError.ENOMEM) { try plan.check(.dmaMap) }
    try plan.check(.dmaMap)
    #expect(plan.passages(of: .dmaMap) == 3)
    #expect(plan.rules.first?.strikes == 1)
  }

  @Test func disarm_takesBackOnePointOrAll() throws {
    let plan = FailurePlan()
    plan.arm(.dmaMap, .always)
    plan.arm(.interruptLost, .always)
    plan.disarm(.dmaMap)
    try plan.check(.dmaMap)
    #expect(plan.fires(.interruptLost))
    plan.disarm()
    #expect(!plan.fires(.interruptLost))
    #expect(plan.rules.isEmpty)
  }

  @Test func observer_isToldOfEachStrike() {
    let plan = FailurePlan()
    var seen: [String] = []
    plan.observer = { point, error in seen.append("\(point.name) \(error?.name ?? "-")") }
    plan.arm(.fenceEmit, .nth(1))
    plan.arm(.deviceLost, .nth(1))
    #expect(throws: KernelError.ENODEV) { try plan.check(.fenceEmit) }
    #expect(plan.fires(.deviceLost))
    #expect(seen == ["nouveau.fence_emit ENODEV", "gpu.device_lost -"])
  }

  @Test(arguments: InjectionPoint.all)
  func everyPoint_firesUnderItsName(point: InjectionPoint) throws {
    let named = try #require(InjectionPoint(name: point.name))
    let plan = FailurePlan()
    plan.arm(named, .nth(2))
    if let usual = point.errors.first {
      try plan.check(point)
      #expect(throws: usual) { try plan.check(point) }
    } else {
      #expect(!plan.fires(point))
      #expect(plan.fires(point))
    }
    #expect(!point.summary.isEmpty)
  }

  @Test func names_areUniqueAndSoAreSlots() {
    let names = InjectionPoint.all.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(Set(InjectionPoint.all).count == InjectionPoint.all.count)
    #expect(InjectionPoint(name: "no.such") == nil)
  }

  @Test func customPoints_standBesideTheTable() throws {
    let own = InjectionPoint.custom(15, "mine.alloc", [.ENOSPC], "my allocation")
    let plan = FailurePlan()
    plan.arm(own, .always)
    #expect(throws: KernelError.ENOSPC) { try plan.check(own) }
    try plan.check(.pageAlloc)
    for point in InjectionPoint.all { #expect(point != own) }
  }

  @Test func customPointOutOfRange_traps() async {
    await #expect(processExitsWith: .failure) {
      _ = InjectionPoint.custom(16, "mine", [], "beyond")
    }
  }
}

@Suite struct TraceTests {
  private static let mark = TraceKind("test.mark", ["index", "address"])
  private static let work = TraceKind("test.work", ["size"], shape: .span)

  private func traced(_ choices: any Choices) throws -> String {
    let trace = Trace(isOn: true)
    let kernel = Kernel(choices: choices, trace: trace)
    try kernel.run {
      for index in 0..<2 {
        kernel.spawn("task \(index)") {
          await kernel.sleep(100)
          trace.record(Self.mark, UInt64(index), 0x12345)
        }
      }
      let start = kernel.now
      await kernel.sleep(250)
      trace.span(Self.work, since: start, 4096)
    }
    return trace.text()
  }

  @Test func text_hasFixedColumns() throws {
    let expected = """
               100  task 0                  test.mark              index=0 address=0x12345
               100  task 1                  test.mark              index=1 address=0x12345
                 0  main                    test.work              size=4096 for=250ns

      """
    #expect(try traced(FIFOChoices()) == expected)
  }

  @Test func text_isTheSameForTheSameSeed() throws {
    for seed in UInt64(0)..<20 {
      #expect(
        try traced(RandomWalkChoices(seed: seed)) == traced(RandomWalkChoices(seed: seed)),
        "seed \(seed)")
    }
  }

  @Test func traceThatIsOff_keepsNothing() throws {
    let trace = Trace()
    let kernel = Kernel(trace: trace)
    try kernel.run { trace.record(Self.mark) }
    #expect(trace.events.isEmpty)
    #expect(trace.text() == "")
    #expect(trace.rows.count == 1)
  }

  @Test func observer_seesEventsAsTheyHappen() throws {
    let trace = Trace(isOn: true)
    let kernel = Kernel(trace: trace)
    var seen: [UInt64] = []
    trace.observer = { seen.append($0.a) }
    let row = trace.row("context 1", in: .fences)
    try kernel.run {
      trace.record(Self.mark, 1, on: row)
      trace.record(Self.mark, 2)
    }
    #expect(seen == [1, 2])
    #expect(trace.events.first?.row == row)
    #expect(trace.rows[row.index].group == .fences)
  }
}
