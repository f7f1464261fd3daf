/// Receives what a falcon does, in order.
public protocol FalconTraceSink: AnyObject {
  /// An instruction is about to run.
  func falconWillExecute(_ instruction: FalconInstruction, at pc: UInt32, cycle: UInt64)
  /// The microcode read or wrote an I/O register; `address` is the falcon's.
  func falconDidAccessIO(address: UInt32, value: UInt32, isWrite: Bool, cycle: UInt64)
  /// An interrupt was taken.
  func falconDidTakeInterrupt(vector: Int, pending: UInt32, cycle: UInt64)
}

/// What a call of ``FalconCore/run(cycles:)`` ended with.
public enum FalconRunState: Hashable, Sendable {
  /// The cycles are used up and there is more to do.
  case budgetSpent
  /// The processor sleeps, and nothing inside the engine will wake it.
  case sleeping
  case stopped(FalconStop)
}
