import Base
import DMAFence
import KernelRuntime
import NouveauTestKit

/// A race that is small enough to be run in every order, with every end that it may come to.
///
/// What its tasks share beside the library's own objects they note themselves, so that equivalent
/// orders can be left out.
struct Race: Sendable, CustomStringConvertible {
  let name: String
  /// Preemptions in one run; nil for all there can be.
  var preemptions: Int?
  /// Each end, as `run.mark` names it; no other may be reached.
  let ends: [String]
  let setUp: @Sendable (FlowRun, Bench) -> Void

  init(
    _ name: String, preemptions: Int? = nil, ends: [String],
    _ setUp: @escaping @Sendable (FlowRun, Bench) -> Void
  ) {
    self.name = name
    self.preemptions = preemptions
    self.ends = ends
    self.setUp = setUp
  }

  var description: String { name }

  var flow: TaskFlow {
    TaskFlow(name, notesWhatIsShared: true) { run in setUp(run, Bench(run.kernel)) }
  }
}

/// A cell that tasks share, and that notes it.
final class Shared<Value> {
  private let kernel: Kernel
  private let number: UInt64
  private var held: Value

  init(_ kernel: Kernel, _ number: UInt64, _ value: Value) {
    self.kernel = kernel
    self.number = number
    held = value
  }

  var value: Value {
    get {
      kernel.touch(.data(number), writing: false)
      return held
    }
    set {
      kernel.touch(.data(number))
      held = newValue
    }
  }
}
