/// What a driver does for its fences (`struct dma_fence_ops`). Everything here is synchronous: the
/// callers hold the fence's lock, so none of it may sleep.
public protocol FenceOperations: AnyObject {
  /// The driver's name (`get_driver_name`).
  var driverName: String { get }
  /// The timeline's name (`get_timeline_name`).
  var timelineName: String { get }
  /// Makes sure that the fence will be signalled without being asked again; called at most once a
  /// fence, with its lock held. False means "already done, or it can't be": the core then signals.
  func enableSignaling(_ fence: Fence) -> Bool
  /// Whether the work is done (`signaled`): the peek. It may lag, but once true stays true.
  func isSignaled(_ fence: Fence) -> Bool
  /// Somebody will miss a deadline, such as a frame, unless the fence signals by `time`
  /// (`set_deadline`), in nanoseconds of the kernel's clock. A hint.
  func setDeadline(_ fence: Fence, _ time: UInt64)
  /// Whether ``released(_:)`` is wanted. A fence then keeps its operations until it goes; otherwise
  /// it lets go of them when it signals, so that a driver can leave before its fences do.
  var wantsRelease: Bool { get }
  /// The last reference has gone (`release`). The fence must not be kept.
  func released(_ fence: Fence)
}

extension FenceOperations {
  public func enableSignaling(_ fence: Fence) -> Bool { true }
  public func isSignaled(_ fence: Fence) -> Bool { false }
  public func setDeadline(_ fence: Fence, _ time: UInt64) {}
  public var wantsRelease: Bool { false }
  public func released(_ fence: Fence) {}
}
