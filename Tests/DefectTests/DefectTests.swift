import KernelRuntime
import Machine
import Nouveau
import NouveauTestKit
import Testing

// A release build of the driver has no defects to put back (docs/decisions/0006).
#if DEBUG
  /// A defect, and the failure under which it shows; most need an order alone.
  struct Prey: Sendable, CustomStringConvertible {
    let defect: Defect
    var injections: [Injection] = []
    var strategy = Strategy.random

    var description: String { "\(defect)" }

    /// A broken copy, whichever comes first.
    static let brokenCopy = [Injection(.copyError)]

    /// All but ``Defect/errorOnSignalledFence``, which ends in a trap.
    static let all: [Prey] = Defect.allCases.filter { $0 != .errorOnSignalledFence }.map { defect in
      Prey(
        defect: defect, injections: defect == .fenceResultIgnored ? brokenCopy : [],
        // Two changes at the right places: priorities find them sooner than a random walk.
        strategy: defect == .sequenceTakenLate ? .pct(depth: 3) : .random)
    }

    func flow(isBroken: Bool) -> DeviceMemoryFlow {
      DeviceMemoryFlow(isBroken ? defect : nil, expectsFailures: !injections.isEmpty)
    }
  }

  @Suite struct DefectTests {
    /// The project's own bound: each defect is found within so many schedules.
    static let limit = 10_000

    @Test(arguments: Prey.all) func defect_isFoundAndItsAbsenceHolds(_ prey: Prey) throws {
      var plan = Exploration(prey.strategy, schedules: Self.limit, seed: 1)
      plan.injections = prey.injections
      plan.shorteningLimit = 0
      let report = plan.explore(prey.flow(isBroken: true))
      let finding = try #require(report.findings.first, "\(prey): \(report.summary)")

      // The same flow on the driver as it is, under the same orders.
      plan.schedules = finding.schedule + 1
      let sound = plan.explore(prey.flow(isBroken: false))
      #expect(sound.passed, "\(prey): \(sound.summary)")
    }

    @Test func errorOnSignalledFence_isATrap() async {
      await #expect(processExitsWith: .failure) {
        var plan = Exploration(.random, schedules: Self.limit, seed: 1)
        plan.injections = Prey.brokenCopy
        plan.shorteningLimit = 0
        // A run with an offence, or no trap at all, ends this process well, and the test fails.
        _ = plan.explore(DeviceMemoryFlow(.errorOnSignalledFence, expectsFailures: true))
      }
      let flow = DeviceMemoryFlow(expectsFailures: true)
      #expect(throws: Never.self) { try flow.holdsInOrders(50, with: Prey.brokenCopy) }
    }

    @Test func soundDriver_holds() throws {
      try DeviceMemoryFlow().holdsInOrders(100, seed: 2)
      try DeviceMemoryFlow().holdsInOrders(100, .pct(depth: 3), seed: 2)
    }
  }
#endif
