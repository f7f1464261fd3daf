import Base
public import KernelRuntime

// Arrows run emit -> signal -> waiter; the first two arguments name the arrow.
extension TraceKind {
  /// A fence was made and its work published (`dma_fence_init`).
  public static let fenceEmit = TraceKind("fence.emit", ["context", "seqno"], shape: .flowStart)
  /// A fence was signalled, with its errno or 0.
  public static let fenceSignal = TraceKind(
    "fence.signal", ["context", "seqno", "errno"], shape: .flowStep)
  /// A waiter went on.
  public static let fenceWait = TraceKind("fence.wait", ["context", "seqno"], shape: .flowEnd)
  /// A waiter gave up: the limit passed or a signal came.
  public static let fenceGiveUp = TraceKind("fence.give_up", ["context", "seqno"])
  /// A waiter or a sync object said when it will miss its aim.
  public static let fenceDeadline = TraceKind("fence.deadline", ["context", "seqno", "time"])
}
