public import Base
import KernelRuntime

extension Fence {
  /// Sleeps until the fence is signalled, for at most `timeout` nanoseconds
  /// (`dma_fence_wait_timeout`). A `timeout` of 0 polls.
  ///
  /// How the work ended is in ``status``.
  public final func wait(timeout: UInt64 = .max) async -> FenceWait {
    let isInterruptible = false
    do throws(KernelError) {
      return try await wait(timeout: timeout, isInterruptible: isInterruptible)
    } catch {
      invariantFailed("an uninterruptible wait for \(self) ended with \(error)")
    }
  }

  /// As ``wait(timeout:)``; throws `ERESTARTSYS` when a signal comes first
  /// (`dma_fence_wait_timeout` with `intr`).
  public final func waitInterruptible(
    timeout: UInt64 = .max
  ) async throws(KernelError) -> FenceWait {
    try await wait(timeout: timeout, isInterruptible: true)
  }

  private final func wait(
    timeout: UInt64, isInterruptible: Bool
  ) async throws(KernelError) -> FenceWait {
    await kernel.point()
    let me = kernel.requireTask("a wait for \(self)")
    kernel.lockChecks.mightWaitForFence(me, behindFaults: isBehindFaults)
    enableSignaling()
    if isSignaledFlag {
      kernel.trace.record(.fenceWait, context, seqno)
      return .signaled(remaining: max(1, timeout))
    }
    if timeout == 0 { return .timedOut }
    let (sum, overflow) = kernel.now.addingReportingOverflow(timeout)
    let deadline = overflow ? UInt64.max : sum
    let waker = addCallback { [unowned kernel] _ in kernel.wake(me) }
    while !isSignaledFlag {
      if isInterruptible && me.hasSignalPending {
        giveUp(waker)
        throw .ERESTARTSYS
      }
      guard kernel.now < deadline else {
        giveUp(waker)
        return .timedOut
      }
      me.sleepsInterruptibly = isInterruptible
      await kernel.block(.fence(context: context, seqno: seqno), until: deadline)
      me.sleepsInterruptibly = false
    }
    kernel.trace.record(.fenceWait, context, seqno)
    let now = kernel.now
    return .signaled(
      remaining: deadline == .max ? .max : max(1, deadline > now ? deadline - now : 0))
  }

  private final func giveUp(_ waker: FenceCallback?) {
    if let waker { removeCallback(waker) }
    kernel.trace.record(.fenceGiveUp, context, seqno)
  }
}
