import Base
import DMAFence
import KernelRuntime
import NouveauTestKit
import Testing

/// Every race in every order within its bounds, with equivalent orders left out and without.
@Suite struct RaceTests {
  static let all = Race.fences + Race.containers + Race.scheduler

  @Test(arguments: all)
  func race_reachesItsEndsAndNoOther(_ race: Race) {
    let result = PruningCheck(preemptions: race.preemptions, limit: 20_000).check(race.flow)
    #expect(result.passed, "\(race): \(result)")
    for end in result.ends {
      #expect(race.ends.contains { end.contains($0 + " x1") }, "\(race): \(end)")
    }
    for end in race.ends {
      #expect(result.ends.contains { $0.contains(end + " x1") }, "\(race) never ends with \(end)")
    }
    #expect(result.prunedOrders <= result.orders)
  }

  /// What isn't noted is what pruning loses; the check says which end. Here a driver takes numbers
  /// for its fences, and may be preempted between looking and taking.
  @Test(arguments: [true, false])
  func missingNote_isCaught(isNoted: Bool) {
    let flow = TaskFlow("numbers", notesWhatIsShared: true) { run in
      let bench = Bench(run.kernel)
      let context = bench.contexts.allocate()
      var last: UInt64 = 0
      func note(writing: Bool) {
        if isNoted { run.kernel.touch(.timeline(context), writing: writing) }
      }
      for name in ["one", "two"] {
        run.task(name) {
          await run.kernel.point()
          note(writing: false)
          let number = last + 1
          await run.kernel.point()
          note(writing: true)
          last = number
          await run.kernel.point()
        }
      }
      run.atEnd { run.mark("last is \(last)") }
    }
    let result = PruningCheck().check(flow)
    #expect(result.isComplete && result.ends.count == 2, "\(result)")
    #expect(result.passed == isNoted)
    #expect(result.missed.isEmpty == isNoted, "\(result)")
  }

  @Test func footprints_saveMostOrders() {
    var orders = 0
    var pruned = 0
    for race in Race.fences + Race.containers {
      let result = PruningCheck(limit: 20_000).check(race.flow)
      orders += result.orders
      pruned += result.prunedOrders
    }
    #expect(pruned * 2 < orders, "\(pruned) of \(orders)")
  }
}
