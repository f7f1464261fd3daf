import Base
import Foundation
import KernelRuntime
import Machine
import Nouveau
import NouveauTestKit
import Testing

/// What goes wrong with fences, on each way on which copies go, in both modes of waiting, in the
/// plain order, random walks and orders with few changes of priority; ``FenceFaultFlow`` says what
/// must hold. A failure prints the token that repeats it.
@Suite struct FenceFaultTests {
  private static let effort =
    Int(ProcessInfo.processInfo.environment["NOUVEAU_EFFORT"] ?? "") ?? 1

  static func flows(_ mode: FenceWaitMode) -> [FenceFaultFlow] {
    FenceWay.allCases.flatMap { way in
      // Eviction under an unending trouble has a test of its own.
      FenceTrouble.all.filter { way != .eviction || !$0.neverEnds }.map { trouble in
        FenceFaultFlow(way: way, trouble: trouble, mode: mode)
      }
    }
  }

  @Test(arguments: flows(.interrupt))
  func trouble_isReportedAndLosesNothing(_ flow: FenceFaultFlow) throws {
    try check(flow, orders: 3 * Self.effort)
  }

  @Test(arguments: flows(.polling))
  func trouble_ofAPollingDriverIsReportedAndLosesNothing(_ flow: FenceFaultFlow) throws {
    try check(flow, orders: (flow.trouble.takesTheLimit ? 0 : 1) * Self.effort)
  }

  private func check(_ flow: FenceFaultFlow, orders: Int) throws {
    try flow.holdsInOrders(1, .plain)
    guard orders > 0 else { return }
    let report = try flow.holdsInOrders(orders, .random)
    try flow.holdsInOrders(orders, .pct(depth: 3))
    guard let report, case .killInFlight = flow.trouble else { return }
    #expect(
      report.reached.contains { $0.name == "killed" }, "\(flow.name): no copy was seen in flight")
  }

  /// A driver that leaves while no copy ever completes has the CPU read the bytes out.
  @Test(arguments: [InjectionPoint.fenceStall, .fenceWrongValue])
  func evictionThatNeverCopies_readsTheBytesOut(point: InjectionPoint) throws {
    try withBench(pages: FenceFaultFlow.pages) { bench in
      try await bench.fill(0..<FenceFaultFlow.pages)
      _ = try await bench.process.migrateToDevice(bench.range(0..<4))
      bench.machine.kernel.failures.arm(point, .always)
      await bench.machine.unbindDriver()
      bench.machine.kernel.failures.disarm()
      #expect(bench.onDevice(0..<FenceFaultFlow.pages) == 0)
      #expect(await bench.damaged(0..<FenceFaultFlow.pages) == [])
    }
  }
}
