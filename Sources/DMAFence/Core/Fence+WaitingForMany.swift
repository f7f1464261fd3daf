public import Base
import KernelRuntime

/// How a wait for several fences ended.
public enum FencesWait: Hashable, Sendable {
  /// The wait's condition holds. `first` is the index of the first signalled fence of a wait for
  /// any.
  case signaled(first: Int, remaining: UInt64)
  /// The limit passed first.
  case timedOut

  public var isSignaled: Bool { self != .timedOut }
}

extension Fence {
  /// Sleeps until one of `fences` is signalled (`dma_fence_wait_any_timeout`); throws `EINVAL` for
  /// no fences, and `ERESTARTSYS` when a signal comes to an interruptible wait.
  public static func waitAny(
    _ fences: [Fence], timeout: UInt64 = .max, isInterruptible: Bool = false
  ) async throws(KernelError) -> FencesWait {
    guard let kernel = fences.first?.kernel else { throw .EINVAL }
    await kernel.point()
    let me = kernel.requireTask("a wait for any of \(fences.count) fences")
    for isBehindFaults in [false, true]
    where fences.contains(where: { $0.isBehindFaults == isBehindFaults }) {
      kernel.lockChecks.mightWaitForFence(me, behindFaults: isBehindFaults)
    }
    var wakers: [FenceCallback?] = []
    wakers.reserveCapacity(fences.count)
    defer {
      for (fence, waker) in zip(fences, wakers) {
        if let waker { fence.removeCallback(waker) }
      }
    }
    // A poll peeks and leaves signalling alone, so it costs no interrupt.
    if timeout == 0 {
      guard let index = fences.firstIndex(where: \.isSignaled) else { return .timedOut }
      return .signaled(first: index, remaining: 1)
    }
    for (index, fence) in fences.enumerated() {
      guard let waker = fence.addCallback({ [unowned kernel] _ in kernel.wake(me) }) else {
        return .signaled(first: index, remaining: timeout)
      }
      wakers.append(waker)
    }
    let (sum, overflow) = kernel.now.addingReportingOverflow(timeout)
    let deadline = overflow ? UInt64.max : sum
    while true {
      if let index = fences.firstIndex(where: \.isSignaledFlag) {
        kernel.trace.record(.fenceWait, fences[index].context, fences[index].seqno)
        let now = kernel.now
        return .signaled(
          first: index, remaining: deadline == .max ? .max : deadline > now ? deadline - now : 1)
      }
      if isInterruptible && me.hasSignalPending { throw .ERESTARTSYS }
      guard kernel.now < deadline else { return .timedOut }
      me.sleepsInterruptibly = isInterruptible
      let first = fences[0]
      await kernel.block(.fence(context: first.context, seqno: first.seqno), until: deadline)
      me.sleepsInterruptibly = false
    }
  }

  /// Sleeps until all of `fences` are signalled, one after the other within one limit.
  public static func waitAll(
    _ fences: [Fence], timeout: UInt64 = .max, isInterruptible: Bool = false
  ) async throws(KernelError) -> FencesWait {
    var remaining = timeout
    for fence in fences {
      let ended =
        isInterruptible
        ? try await fence.waitInterruptible(timeout: remaining)
        : await fence.wait(timeout: remaining)
      guard case .signaled(let left) = ended else { return .timedOut }
      // A limit that has run out still lets the others be polled.
      remaining = timeout == 0 ? 0 : left
    }
    return .signaled(first: 0, remaining: max(1, remaining))
  }
}
