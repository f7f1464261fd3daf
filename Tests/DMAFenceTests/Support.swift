import Base
import DMAFence
import KernelRuntime
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

  init(_ choices: any Choices = FIFOChoices(), trace: Bool = false) {
    kernel = Kernel(choices: choices, trace: Trace(isOn: trace))
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

/// Runs `body` under many random orders; a failure names the seed that repeats it.
func explore(
  seeds: Range<UInt64> = 0..<200, _ body: @escaping (Bench) async throws -> Void
) throws {
  for seed in seeds {
    do {
      try attempt(Bench(RandomWalkChoices(seed: seed)), body)
    } catch {
      Issue.record("seed \(seed): \(error)")
      return
    }
  }
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
