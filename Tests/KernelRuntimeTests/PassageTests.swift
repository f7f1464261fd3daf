import Base
import KernelRuntime
import Testing

@Suite struct PassageTests {
  @Test func passageObserver_isToldOfEach_andThePlanIsNotQuiet() throws {
    let plan = FailurePlan()
    plan.arm(.dmaMap, .nth(2))
    var seen: [String] = []
    plan.passageObserver = { seen.append($0.name) }
    #expect(!plan.isQuiet)
    try plan.check(.pageAlloc)
    try plan.check(.dmaMap)
    #expect(throws: KernelError.EIO) { try plan.check(.dmaMap) }
    #expect(!plan.fires(.copyError))
    #expect(seen == ["mm.page_alloc", "dma.map", "dma.map", "gpu.copy_error"])
    plan.disarm()
    #expect(!plan.isQuiet)
    plan.passageObserver = nil
    #expect(plan.isQuiet)
  }

  @Test func silence_holdsForRulesAndCountsOn() throws {
    let plan = FailurePlan()
    plan.arm(.dmaMap, .always, isPinned: true)
    plan.silence()
    var seen = 0
    plan.passageObserver = { _ in seen += 1 }
    try plan.check(.dmaMap)
    plan.arm(.dmaMap, .always)
    try plan.check(.dmaMap)
    #expect(seen == 2 && plan.passages(of: .dmaMap) == 2)
    #expect(plan.rules.allSatisfy { $0.strikes == 0 })
  }
}
