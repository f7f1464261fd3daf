public import Base
import KernelRuntime

/// A place that holds a fence and can be handed to other processes (`struct drm_syncobj`).
///
/// Binary use puts a fence in and takes it out; timeline use adds points to a chain. Who waits for
/// a fence that nobody has put in yet is woken when it comes.
public final class SyncObject {
  let contexts: FenceContexts
  /// What it holds now; nil when nothing was put in since the last reset.
  public private(set) var fence: Fence? {
    get {
      contexts.kernel.touch(shared, writing: false)
      return held
    }
    set {
      contexts.kernel.touch(shared)
      held = newValue
    }
  }
  private var held: Fence?
  private let shared: SharedObject
  private var waiters: [SubmitWaiter] = []

  /// Somebody who waits for a point to be added.
  final class SubmitWaiter {
    let point: UInt64
    /// Called once, with the fence of the point.
    let arrived: (Fence) -> Void

    init(point: UInt64, arrived: @escaping (Fence) -> Void) {
      self.point = point
      self.arrived = arrived
    }
  }

  /// - Parameter isSignaled: begin with a signalled fence (`DRM_SYNCOBJ_CREATE_SIGNALED`).
  public init(_ contexts: FenceContexts, isSignaled: Bool = false) {
    self.contexts = contexts
    shared = contexts.kernel.takeSharedObject()
    if isSignaled { held = Fence.stub(contexts.kernel) }
  }

  /// Puts a fence in the place of the old one; nil resets (`drm_syncobj_replace_fence`).
  public func replace(with fence: Fence?) {
    fence?.willBePublished()
    let isNew = fence !== self.fence
    self.fence = fence
    if isNew { serveWaiters() }
  }

  /// Puts a signalled fence in (`DRM_IOCTL_SYNCOBJ_SIGNAL`).
  public func signal() { replace(with: Fence.stub(contexts.kernel)) }

  /// Adds a timeline point (`drm_syncobj_add_point`). A number that isn't above the last begins the
  /// timeline anew, for which ``query(lastSubmitted:)`` then answers from its start.
  public func addPoint(_ fence: Fence, at point: UInt64) {
    fence.willBePublished()
    self.fence = FenceChain(contexts, after: self.fence, fence, seqno: point)
    serveWaiters()
  }

  /// Adds a point that is done (`DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL`).
  public func signal(point: UInt64) { addPoint(contexts.stub, at: point) }

  /// The fence to wait for, for a point (0 is whatever it holds); `EINVAL` when the object is empty
  /// or the point hasn't come (`drm_syncobj_find_fence`).
  public func fence(at point: UInt64) throws(KernelError) -> Fence {
    guard let fence else { throw .EINVAL }
    return try fence.point(point) ?? contexts.stub
  }

  /// As ``fence(at:)``; sleeps up to 5 s for the point to come. Throws `ETIME`, or `ERESTARTSYS`
  /// when a signal comes.
  public func fenceWaitingForSubmit(at point: UInt64) async throws(KernelError) -> Fence {
    // SOURCE: drm_syncobj.c DRM_SYNCOBJ_WAIT_FOR_SUBMIT_TIMEOUT, 5 s.
    let limit: UInt64 = 5_000_000_000
    let found = try await SyncObject.wait(
      [(self, point)], [.all, .available, .forSubmit], timeout: limit)
    return found.fences[0]
  }

  /// The last point that is done, or that was added (`DRM_IOCTL_SYNCOBJ_QUERY`); 0 for no timeline.
  public func query(lastSubmitted: Bool = false) -> UInt64 {
    guard let head = fence as? FenceChain else { return 0 }
    if lastSubmitted { return head.seqno }
    var last = head
    while let before = last.walk() as? FenceChain, before.context == head.context {
      last = before
    }
    return last.isSignaled ? last.seqno : last.previousSeqno
  }

  /// Copies a fence from a point of `source` to a point here, 0 for the binary place
  /// (`DRM_IOCTL_SYNCOBJ_TRANSFER`).
  public func transfer(
    from source: SyncObject, at sourcePoint: UInt64, to point: UInt64, waitsForSubmit: Bool = false
  ) async throws(KernelError) {
    var found: Fence
    do throws(KernelError) {
      found = try source.fence(at: sourcePoint)
    } catch {
      guard waitsForSubmit else { throw error }
      found = try await source.fenceWaitingForSubmit(at: sourcePoint)
    }
    if point == 0 {
      replace(with: found)
    } else {
      // A chain can't hold a chain: containers are opened.
      addPoint(Fence.merge([found], in: contexts), at: point)
    }
  }

  // MARK: waiting for submission

  /// Hands `waiter` the fence of its point, now or when it comes.
  func addWaiter(_ waiter: SubmitWaiter) {
    contexts.kernel.touch(shared)
    if let found = try? fence(at: waiter.point) {
      waiter.arrived(found)
    } else {
      waiters.append(waiter)
    }
  }

  func removeWaiter(_ waiter: SubmitWaiter) {
    contexts.kernel.touch(shared)
    waiters.removeAll { $0 === waiter }
  }

  private func serveWaiters() {
    guard !waiters.isEmpty else { return }
    let all = waiters
    waiters = []
    for waiter in all {
      if let found = try? fence(at: waiter.point) {
        waiter.arrived(found)
      } else {
        waiters.append(waiter)
      }
    }
  }

  /// Counts `counter` up when the point is done, or with `whenAvailable` when it has been added
  /// (`DRM_IOCTL_SYNCOBJ_EVENTFD`).
  public func notify(_ counter: EventCounter, at point: UInt64, whenAvailable: Bool = false) {
    addWaiter(
      SubmitWaiter(point: point) { fence in
        if whenAvailable || fence.addCallback({ _ in counter.signal() }) == nil {
          counter.signal()
        }
      })
  }
}
