import Base
import DMAFence
import Foundation
import KernelRuntime
import NouveauTestKit
import Testing

/// A driver without hardware: fences that somebody signals by hand.
final class MockDriver: FenceOperations {
  let driverName = "mock"
  let timelineName = "mock timeline"
  /// What the peek says.
  var isDone = false
  /// What enabling answers.
  var canEnable = true
  private(set) var enabled: [UInt64] = []
  private(set) var deadlines: [UInt64] = []
  private(set) var released: [UInt64] = []
  var wantsRelease = false

  func enableSignaling(_ fence: Fence) -> Bool {
    enabled.append(fence.seqno)
    return canEnable
  }
  func isSignaled(_ fence: Fence) -> Bool { isDone }
  func setDeadline(_ fence: Fence, _ time: UInt64) { deadlines.append(time) }
  func released(_ fence: Fence) { released.append(fence.seqno) }
}

/// One machine's worth of what fence tests need.
final class Bench {
  let kernel: Kernel
  let contexts: FenceContexts
  let driver = MockDriver()

  convenience init(_ choices: any Choices = FIFOChoices(), trace: Bool = false) {
    self.init(Kernel(choices: choices, trace: Trace(isOn: trace)))
  }

  init(_ kernel: Kernel) {
    self.kernel = kernel
    contexts = FenceContexts(kernel)
  }

  /// A fence of a context of its own.
  func fence(_ seqno: UInt64 = 1, context: UInt64? = nil) -> Fence {
    Fence(
      kernel, operations: driver, context: context ?? contexts.allocate(), seqno: seqno)
  }

  func fences(_ count: Int) -> [Fence] { (0..<count).map { _ in fence() } }
}

/// Runs `body` as a task of a new machine in first-come order.
func flow(_ body: @escaping (Bench) async throws -> Void) throws {
  try attempt(Bench(), body)
}

/// Runs `body` as the first task of a new machine under many orders of the test kit: every order
/// with one preemption and each way to draw, random walks, and orders with three changes of
/// priority. A failure is shortened and prints the line that repeats it.
///
/// At most `10 * seeds.count` orders of each kind are run, fewer of a body that takes many steps;
/// `NOUVEAU_EFFORT=100` in the environment makes it a hundred times as many.
/// With `isSampled` only `seeds.count` random walks are: for what holds on average.
func explore(
  seeds: Range<UInt64> = 0..<100, isSampled: Bool = false, test: String = #function,
  _ body: @escaping (Bench) async throws -> Void
) throws {
  let flow = TaskFlow(test) { run in
    let bench = Bench(run.kernel)
    run.kernel.spawn("main") {
      do {
        try await body(bench)
      } catch {
        run.offend("broken", "\(error)")
      }
    }
  }
  if isSampled {
    try flow.holdsInOrders(seeds.count, .random, test: test)
    return
  }
  let steps = FlowRunner(flow).replay(Schedule(seed: 0)).steps
  let effort = Int(ProcessInfo.processInfo.environment["NOUVEAU_EFFORT"] ?? "") ?? 1
  let orders = effort * min(10 * seeds.count, max(10, 4_000 / Int(max(1, steps))))
  var bounds = ExhaustiveChoices.Bounds(preemptions: 1)
  bounds.drawOutcomes = 8
  try flow.holdsInOrders(orders, .exhaustive(bounds), test: test)
  try flow.holdsInOrders(orders, .random, test: test)
  try flow.holdsInOrders(orders, .pct(depth: 3), test: test)
}

/// A condition that a flow needs, with the words that a failing seed prints.
struct Broken: Error, CustomStringConvertible {
  let description: String
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
  if !condition { throw Broken(description: message()) }
}

private func attempt(_ bench: Bench, _ body: @escaping (Bench) async throws -> Void) throws {
  let result = try bench.kernel.run { () async -> Result<Void, any Error> in
    do {
      try await body(bench)
      return .success(())
    } catch {
      return .failure(error)
    }
  }
  try result.get()
}
