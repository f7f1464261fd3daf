package import Base
package import DMAFence
import KernelRuntime

/// A fence in a channel's command stream (`struct nouveau_fence`).
package final class NouveauFence {
  /// The core's fence, for callbacks, containers and statuses.
  package let fence: Fence
  let context: FenceContext
  private let mode: FenceWaitMode

  /// How long a wait lasts at most, in nanoseconds. SOURCE: nouveau_fence.c: `15 * HZ`.
  package static let limit: UInt64 = 15_000_000_000

  init(_ fence: Fence, _ context: FenceContext, _ mode: FenceWaitMode) {
    self.fence = fence
    self.context = context
    self.mode = mode
  }

  /// A fence that is done when everything pushed before it is.
  ///
  /// On an error nothing was emitted and no number used (F01): `ENOMEM` without a fence, `ENODEV`
  /// on a killed channel (F02), the errors of ``Channel/withPush(dwords:_:)``. Passes
  /// `nouveau.fence_new`, `nouveau.ring_space` and `nouveau.fence_emit`.
  ///
  /// Kernel: nouveau_fence_new, nouveau_fence_create, nouveau_fence_emit (nouveau_fence.c)
  package static func emit(on channel: Channel) async throws(KernelError) -> NouveauFence {
    try await channel.withFence(dwords: 0) { _ in }.fence
  }

  /// Whether the work is done; looks.
  ///
  /// Kernel: nouveau_fence_done (nouveau_fence.c)
  package var isDone: Bool {
    if fence.isSignaledFlag { return true }
    // One read of the word: what it covers is signalled then.
    context.update()
    return fence.isSignaledFlag
  }

  /// Sleeps until the work is done, at most 15 s.
  ///
  /// `ETIMEDOUT` when it isn't by then: the work may still be done later, unless the channel is
  /// killed. Otherwise the fence's error, if it has one. The kernel says `EBUSY` for the former.
  ///
  /// Kernel: nouveau_fence_wait (nouveau_fence.c)
  package func wait() async throws(KernelError) {
    switch mode {
    case .interrupt: _ = await fence.wait(timeout: Self.limit)
    case .polling: await poll()
    }
    if !isDone {
      _ = context.device.checkPresence()
      if !fence.isSignaledFlag { throw .ETIMEDOUT }
    }
    if case .failed(let error) = fence.status { throw error }
  }

  /// Kernel: nouveau_fence_wait_legacy (nouveau_fence.c)
  private func poll() async {
    let kernel = context.device.kernel
    kernel.lockChecks.mightWaitForFence(
      kernel.requireTask("a wait for \(fence)"), behindFaults: fence.isBehindFaults)
    let deadline = kernel.now &+ Self.limit
    var pause: UInt64 = 1_000
    await kernel.point()
    while !isDone && kernel.now < deadline {
      await kernel.sleep(min(pause, deadline &- kernel.now))
      pause = min(2 * pause, 1_000_000)
    }
  }
}

extension Channel {
  /// Writes methods and a fence behind them in one segment: one look at the ring and one doorbell.
  ///
  /// Errors as ``NouveauFence/emit(on:)``; on an error neither the body nor the fence was pushed.
  package func withFence<T>(dwords: Int, _ body: (inout PushWriter) -> T) async throws(KernelError)
    -> (result: T, fence: NouveauFence)
  {
    let kernel = device.kernel
    let failures = kernel.failures
    kernel.mightAllocate()
    try failures.check(.fenceAlloc)
    await lock.lock()
    defer { lock.unlock() }
    var writer = try await reserve(dwords + FenceContext.dwords)
    try failures.check(.fenceEmit)
    // From here on the fence counts, and until the host has it nothing may wait (R75). The work
    // then signals it by itself: the copy channel's needs no page fault to be served (R94).
    let section = kernel.beginSignalling()
    let result = body(&writer)
    let fence = fences.emit(&writer)
    kick(writer)
    kernel.endSignalling(section)
    return (result, NouveauFence(fence, fences, fenceWait))
  }
}
