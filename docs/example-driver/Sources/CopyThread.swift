public import Base
public import DMAFence
public import KernelRuntime

/// The driver's own copy routine and its own fences: jobs are done one after the other, each after
/// a time, and a counter says how many are over. Job n's fence is signalled when the counter passes
/// n.
public final class CopyThread {
  /// One piece of work.
  public struct Copy {
    public enum Side { case host, device }
    /// Nil to clear.
    public var source: (Side, offset: Int)?
    public var destination: (Side, offset: Int)
    public var length: Int
  }

  /// A job that fails: its bytes stay where they are and its fence has the error.
  public static let badCopy = InjectionPoint.custom(
    0, "memcpy.bad_copy", [.EIO], "a copy of the memcpy device fails")
  /// A job that isn't taken.
  public static let queueFull = InjectionPoint.custom(
    1, "memcpy.queue_full", [.EBUSY], "the queue of the memcpy device is full")

  private let kernel: Kernel
  private let host: MappedMemory
  private let device: MappedMemory
  private let context: UInt64
  private var jobs: [(copies: [Copy], fence: Fence)] = []
  private var made: UInt64 = 0
  private var over: UInt64 = 0
  private var thread: Agent?

  /// Nanoseconds that a job takes.
  static let cost: UInt64 = 1_000

  public init(_ kernel: Kernel, host: MappedMemory, device: MappedMemory, _ contexts: FenceContexts)
  {
    self.kernel = kernel
    self.host = host
    self.device = device
    context = contexts.allocate()
    thread = kernel.agent("memcpy") { [unowned self] in runOne() }
  }

  /// Queues a job. When this throws, nothing will be copied.
  public func submit(_ copies: [Copy]) throws(KernelError) -> Fence {
    try kernel.failures.check(Self.queueFull)
    made += 1
    let fence = Fence(kernel, operations: self, context: context, seqno: made, is64Bit: true)
    jobs.append((copies, fence))
    if jobs.count == 1 { _ = thread?.kick(after: Self.cost) }
    return fence
  }

  /// Whether some event still signals a job's fence; the kit asks when nothing can run.
  public func willSignal(_ seqno: UInt64) -> Bool { jobs.contains { $0.fence.seqno == seqno } }

  /// No job may be left.
  public func stop() {
    thread?.retire()
    thread = nil
  }

  private func runOne() {
    guard !jobs.isEmpty else { return }
    let job = jobs.removeFirst()
    if kernel.failures.fires(Self.badCopy) {
      job.fence.setError(.EIO)
    } else {
      for copy in job.copies { carryOut(copy) }
    }
    over = job.fence.seqno
    job.fence.signal()
    if !jobs.isEmpty { _ = thread?.kick(after: Self.cost) }
  }

  private func carryOut(_ copy: Copy) {
    let target = memory(copy.destination.0)
    if let source = copy.source {
      target.copy(
        from: memory(source.0), at: source.offset, to: copy.destination.offset,
        length: copy.length)
    } else {
      target.fill(0, at: copy.destination.offset, length: copy.length)
    }
  }

  private func memory(_ side: Copy.Side) -> MappedMemory { side == .host ? host : device }
}

extension CopyThread: FenceOperations {
  public var driverName: String { "memcpy" }
  public var timelineName: String { "copies" }
  public func isSignaled(_ fence: Fence) -> Bool { over >= fence.seqno }
}
