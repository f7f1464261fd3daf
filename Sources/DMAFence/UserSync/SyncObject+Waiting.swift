public import Base
import KernelRuntime

/// How to wait for sync objects (`DRM_SYNCOBJ_WAIT_FLAGS_*`).
public struct SyncWaitFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  // SOURCE: include/uapi/drm/drm.h.
  /// For all of them rather than any.
  public static let all = SyncWaitFlags(rawValue: 1 << 0)
  /// Also for fences that nobody has put in yet.
  public static let forSubmit = SyncWaitFlags(rawValue: 1 << 1)
  /// Only for points to be added, not to be done.
  public static let available = SyncWaitFlags(rawValue: 1 << 2)
  /// A deadline is passed on to the fences.
  public static let deadline = SyncWaitFlags(rawValue: 1 << 3)

  public static let known: SyncWaitFlags = [.all, .forSubmit, .available, .deadline]
}

/// What a wait for sync objects found.
public struct SyncWaitResult {
  /// The first object whose condition holds.
  public let firstSignaled: Int
  /// The fences of those that have one, in the order of the objects.
  let fences: [Fence]
}

extension SyncObject {
  /// Sleeps until any or all of the points are done, or with `.available` added
  /// (`DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT`; point 0 is binary use).
  ///
  /// Throws `EINVAL` for a point that hasn't come unless the flags wait for it, `ETIME` when
  /// `timeout` nanoseconds passed, `ERESTARTSYS` when a signal came.
  public static func wait(
    _ targets: [(object: SyncObject, point: UInt64)], _ flags: SyncWaitFlags, timeout: UInt64,
    deadline: UInt64? = nil
  ) async throws(KernelError) -> SyncWaitResult {
    guard let kernel = targets.first?.object.contexts.kernel else {
      return SyncWaitResult(firstSignaled: 0, fences: [])
    }
    await kernel.point()
    let wait = SyncWait(kernel, targets, flags)
    defer { wait.end() }
    try wait.lookUp()
    if let result = wait.result() { return result }
    wait.listen()
    if let deadline { for case .some(let fence) in wait.fences { fence.setDeadline(deadline) } }
    let (sum, overflow) = kernel.now.addingReportingOverflow(timeout)
    let end = overflow ? UInt64.max : sum
    let me = kernel.requireTask("a wait for sync objects")
    if !flags.contains(.available) { kernel.lockChecks.mightWaitForFence(me) }
    while true {
      wait.hookFences()
      if let result = wait.result() { return result }
      guard kernel.now < end else { throw .ETIME }
      if me.hasSignalPending { throw .ERESTARTSYS }
      me.sleepsInterruptibly = true
      await kernel.block(.queue("sync objects"), until: end)
      me.sleepsInterruptibly = false
    }
  }
}

/// The state of one wait.
private final class SyncWait {
  private let kernel: Kernel
  private let task: KernelTask
  private let targets: [(object: SyncObject, point: UInt64)]
  private let flags: SyncWaitFlags
  private(set) var fences: [Fence?]
  private var callbacks: [FenceCallback?]
  private var waiters: [SyncObject.SubmitWaiter?]

  init(
    _ kernel: Kernel, _ targets: [(object: SyncObject, point: UInt64)], _ flags: SyncWaitFlags
  ) {
    self.kernel = kernel
    self.targets = targets
    self.flags = flags
    task = kernel.requireTask("a wait for sync objects")
    fences = Array(repeating: nil, count: targets.count)
    callbacks = Array(repeating: nil, count: targets.count)
    waiters = Array(repeating: nil, count: targets.count)
  }

  private var waitsForSubmit: Bool { !flags.isDisjoint(with: [.forSubmit, .available]) }

  /// Finds the fences that are there; a missing one is an error unless it is waited for.
  func lookUp() throws(KernelError) {
    for (index, target) in targets.enumerated() {
      do throws(KernelError) {
        fences[index] = try target.object.fence(at: target.point)
      } catch {
        if !waitsForSubmit { throw error }
      }
    }
  }

  /// Asks to be told of fences that come.
  func listen() {
    guard waitsForSubmit else { return }
    for (index, target) in targets.enumerated() where fences[index] == nil {
      let waiter = SyncObject.SubmitWaiter(point: target.point) { [unowned self] fence in
        fences[index] = fence
        kernel.wake(task)
      }
      waiters[index] = waiter
      target.object.addWaiter(waiter)
    }
  }

  /// Asks each fence that is there to wake the task.
  func hookFences() {
    guard !flags.contains(.available) else { return }
    for (index, fence) in fences.enumerated() where callbacks[index] == nil {
      callbacks[index] = fence?.addCallback { [unowned kernel, task] _ in kernel.wake(task) }
    }
  }

  /// What the wait is for, if it has come.
  func result() -> SyncWaitResult? {
    var first: Int?
    var count = 0
    for (index, fence) in fences.enumerated() {
      guard let fence, flags.contains(.available) || fence.isSignaled else { continue }
      first = first ?? index
      count += 1
    }
    guard let first, !flags.contains(.all) || count == targets.count else { return nil }
    return SyncWaitResult(firstSignaled: first, fences: fences.compactMap(\.self))
  }

  func end() {
    for (index, target) in targets.enumerated() {
      if let waiter = waiters[index] { target.object.removeWaiter(waiter) }
      if let callback = callbacks[index] { fences[index]?.removeCallback(callback) }
    }
  }
}
