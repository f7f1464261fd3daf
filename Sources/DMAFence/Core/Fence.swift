public import Base
public import KernelRuntime

/// A promise that some work will be done, and whether it was (`struct dma_fence`).
///
/// A fence goes from pending to signalled once and never back. It carries an error if the work
/// failed, set before it is signalled. Its number orders it within its context.
///
/// LOCKING: callbacks run with the fence's lock held, as in the kernel: they don't sleep, and must
/// not signal the fence again. What takes other locks is handed on with `irq_work`.
public class Fence {
  unowned let kernel: Kernel
  private let lifetime: KernelLifetime
  /// The timeline that the fence belongs to.
  public let context: UInt64
  /// Its place on the timeline.
  public let seqno: UInt64
  /// Whether numbers are compared as 64 bits (`use_64bit_seqno`); else they wrap at 32.
  public let is64Bit: Bool
  /// The row of its context in the trace.
  public let row: TraceRow?
  /// A lock shared with other fences of the context; nil for a lock of its own.
  let sharedLock: SpinLock?

  /// Its work may stand still at a page fault that the CPU has to serve. Such a fence may not be
  /// published as others are, because memory management waits for those (R93).
  public internal(set) final var isBehindFaults: Bool

  /// Nil once signalled, unless the driver wants to be told of the release.
  final var operations: (any FenceOperations)?
  final var callbacks = CallbackList()
  /// The names of a fence whose operations have gone.
  private final var names: (driver: String, timeline: String)?
  private final var signalTime: UInt64 = 0
  /// The error; kept apart from the state, because it is set before signalling.
  private final var failure: Int32 = 0
  /// `DMA_FENCE_FLAG_SIGNALED_BIT`: signalled, as far as anybody noticed. Doesn't peek.
  public final var isSignaledFlag: Bool {
    note(writing: false)
    return hasSignaled
  }
  private final var hasSignaled = false
  /// `DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT`.
  public final var isSignalingEnabled: Bool {
    note(writing: false)
    return wasEnabled
  }
  private final var wasEnabled = false
  /// Its own lock is held: callbacks are running.
  private final var isLocked = false

  /// Makes a pending fence (`dma_fence_init`).
  /// - Parameters:
  ///   - operations: the driver's side.
  ///   - context: from ``FenceContexts``.
  ///   - seqno: above every earlier number of the context, in the sense of ``isLater(than:)``.
  ///   - is64Bit: whether numbers use 64 bits.
  ///   - lock: the context's lock, held while signalling; nil gives the fence one of its own.
  ///   - row: the context's row in the trace.
  ///   - isBehindFaults: whether its work may have to wait for page faults to be served.
  public init(
    _ kernel: Kernel, operations: any FenceOperations, context: UInt64, seqno: UInt64,
    is64Bit: Bool = false, lock: SpinLock? = nil, row: TraceRow? = nil,
    isBehindFaults: Bool = false
  ) {
    self.kernel = kernel
    lifetime = kernel.lifetime
    self.operations = operations
    self.context = context
    self.seqno = seqno
    self.is64Bit = is64Bit
    sharedLock = lock
    self.row = row
    self.isBehindFaults = isBehindFaults
    kernel.trace.record(.fenceEmit, context, seqno, on: row)
  }

  /// For containers, which are their own operations, and for stand-ins, which leave no trace of
  /// their making.
  init(
    container kernel: Kernel, context: UInt64, seqno: UInt64, is64Bit: Bool, isStandIn: Bool = false
  ) {
    self.kernel = kernel
    lifetime = kernel.lifetime
    operations = nil
    self.context = context
    self.seqno = seqno
    self.is64Bit = is64Bit
    sharedLock = nil
    row = nil
    isBehindFaults = false
    if !isStandIn { kernel.trace.record(.fenceEmit, context, seqno) }
  }

  deinit {
    lifetime.touch(.timeline(context))
    if !callbacks.isEmpty { note() }
    if !callbacks.isEmpty && !lifetime.isOver { endWithoutSignal() }
    if let operations, operations.wantsRelease { operations.released(self) }
  }

  /// Notes that the running step reads or changes the fence, for strategies that leave out
  /// equivalent orders.
  @inline(__always)
  final func note(writing: Bool = true) {
    lifetime.touch(.fence(context, seqno), writing: writing)
  }

  // MARK: what containers override

  func askToEnable() -> Bool { operations?.enableSignaling(self) ?? true }
  func askWhetherSignaled() -> Bool { operations?.isSignaled(self) ?? false }
  func passOnDeadline(_ time: UInt64) { operations?.setDeadline(self, time) }
  var currentDriverName: String { operations?.driverName ?? "detached-driver" }
  var currentTimelineName: String { operations?.timelineName ?? "signaled-timeline" }

  // MARK: state

  /// Whether the work is done (`dma_fence_is_signaled`). Peeks, and signals if the peek says so.
  public final var isSignaled: Bool {
    if isSignaledFlag { return true }
    if askWhetherSignaled() {
      signal()
      return true
    }
    return false
  }

  /// As ``isSignaled``, for a caller that holds the context's lock
  /// (`dma_fence_is_signaled_locked`).
  public final var isSignaledLocked: Bool {
    if isSignaledFlag { return true }
    return askWhetherSignaled() && (signalLocked() || isSignaledFlag)
  }

  /// Pending, done, or the error (`dma_fence_get_status`). Doesn't peek.
  public final var status: FenceStatus {
    guard isSignaledFlag else { return .pending }
    return failure == 0 ? .signaled : .failed(KernelError(errno: failure))
  }

  /// The error, even before the fence is signalled (`fence->error`).
  public final var error: KernelError? {
    note(writing: false)
    return failure == 0 ? nil : KernelError(errno: failure)
  }

  /// When it was signalled, in nanoseconds of the kernel's clock; nil before
  /// (`dma_fence_timestamp`).
  public final var timestamp: UInt64? { isSignaledFlag ? signalTime : nil }

  /// The driver's name; known after the driver has gone.
  public final var driverName: String { names?.driver ?? currentDriverName }
  /// The timeline's name; known after the driver has gone.
  public final var timelineName: String { names?.timeline ?? currentTimelineName }

  /// Says that the work failed (`dma_fence_set_error`). Once, and before ``signal()``.
  public final func setError(_ error: KernelError) {
    invariant(!isSignaledFlag, "dma_fence_set_error(\(error)) on \(self), which is signalled")
    invariant(failure == 0, "dma_fence_set_error(\(error)) on \(self), which has \(failure)")
    invariant((1..<4096).contains(error.errno), "dma_fence_set_error(\(error)) on \(self)")
    note()
    failure = error.errno
  }

  /// Containers settle on the first error of a member.
  final func adoptError(_ error: KernelError) {
    note()
    if !hasSignaled && failure == 0 { failure = error.errno }
  }

  /// Whether this fence comes after `other` on their timeline (`dma_fence_is_later`).
  public final func isLater(than other: Fence) -> Bool {
    invariant(context == other.context, "\(self) and \(other) are of different contexts")
    return Fence.isLater(seqno, than: other.seqno, is64Bit: is64Bit)
  }

  /// Compares two numbers of one timeline (`__dma_fence_is_later`). A 32-bit number is later when
  /// it is ahead by less than half the range, so the order survives the wrap.
  @inlinable
  public static func isLater(_ a: UInt64, than b: UInt64, is64Bit: Bool) -> Bool {
    if is64Bit { return a > b }
    return Int32(bitPattern: UInt32(truncatingIfNeeded: a) &- UInt32(truncatingIfNeeded: b)) > 0
  }

  /// Passes on that somebody needs the fence by `time` (`dma_fence_set_deadline`).
  public final func setDeadline(_ time: UInt64) {
    guard !isSignaledFlag else { return }
    kernel.trace.record(.fenceDeadline, context, seqno, time, on: row)
    passOnDeadline(time)
  }

  // MARK: signalling

  /// Marks the work done and runs the callbacks (`dma_fence_signal`); false when it was done
  /// already (-EINVAL).
  @discardableResult
  public final func signal() -> Bool {
    guard !isSignaledFlag else {
      invariant(!isLocked, "\(self) is signalled by its own callback, which holds its lock")
      return false
    }
    return signal(at: kernel.now)
  }

  /// As ``signal()``, with the time when the work was done (`dma_fence_signal_timestamp`).
  @discardableResult
  public final func signal(at time: UInt64) -> Bool {
    guard !isSignaledFlag else { return false }
    guard let sharedLock else { return finish(time) }
    return sharedLock.withLock { finish(time) }
  }

  /// As ``signal()``, for a caller that holds the context's lock (`dma_fence_signal_locked`).
  @discardableResult
  public final func signalLocked() -> Bool {
    invariant(sharedLock?.isHeld ?? true, "\(self) is signalled without its context's lock")
    return finish(kernel.now)
  }

  private final func finish(_ time: UInt64) -> Bool {
    note()
    guard !hasSignaled else { return false }
    if let operations, !operations.wantsRelease {
      // Names are kept and the driver's object is let go, so that a driver may leave first.
      names = (operations.driverName, operations.timelineName)
      self.operations = nil
    }
    signalTime = time
    hasSignaled = true
    kernel.trace.record(
      .fenceSignal, context, seqno, UInt64(failure), on: row)
    guard !callbacks.isEmpty else { return true }
    isLocked = true
    // Callbacks run under the lock, and elsewhere in interrupts: they may not reclaim.
    let task = kernel.currentTask
    task?.atomicDepth += 1
    callbacks.takeAll { callback in
      if let body = callback.body {
        callback.body = nil
        body(self)
      }
    }
    task?.atomicDepth -= 1
    isLocked = false
    return true
  }

  /// Asks the driver to signal without being asked again (`dma_fence_enable_sw_signaling`).
  public final func enableSignaling() {
    guard !isSignaledFlag && !isSignalingEnabled else { return }
    if let sharedLock {
      sharedLock.withLock { enableSignalingLocked() }
    } else {
      enableSignalingLocked()
    }
  }

  /// The decision and the signal are one step under the lock, so a signal can't slip between.
  final func enableSignalingLocked() {
    guard !hasSignaled && !wasEnabled else { return }
    note()
    wasEnabled = true
    if !askToEnable() { _ = finish(kernel.now) }
  }

  /// A fence went while callbacks waited for it: a defect of whoever dropped it. They get `EDEADLK`
  /// from a stand-in with the same number (`dma_fence_release`).
  private final func endWithoutSignal() {
    let standIn = Fence(
      container: kernel, context: context, seqno: seqno, is64Bit: is64Bit, isStandIn: true)
    standIn.names = (currentDriverName, currentTimelineName)
    standIn.failure = KernelError.EDEADLK.errno
    standIn.callbacks = callbacks
    callbacks = CallbackList()
    _ = standIn.finish(kernel.now)
  }
}

extension Fence: CustomStringConvertible {
  public var description: String { "fence \(context):\(seqno)" }
}
