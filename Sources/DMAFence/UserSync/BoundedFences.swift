public import Base
import KernelRuntime

/// Fences that user space attaches to buffers and signals itself (`vgem_fence`).
///
/// User space may forget them, so each ends by itself, with an error: no fence may stay open for
/// ever.
public final class BoundedFences {
  // SOURCE: drivers/gpu/drm/vgem/vgem_fence.c VGEM_FENCE_TIMEOUT, 10 s.
  /// Nanoseconds after which a fence ends by itself.
  public static let limit: UInt64 = 10_000_000_000

  private final class Operations: FenceOperations {
    let driverName = "vgem"
    let timelineName = "unbound"
  }

  private let contexts: FenceContexts
  private let operations = Operations()
  /// Slot 0 is handle 1.
  private var open: [(fence: Fence, timer: TimerHandle)?] = []
  private let shared: SharedObject

  public init(_ contexts: FenceContexts) {
    self.contexts = contexts
    shared = contexts.kernel.takeSharedObject()
  }

  /// Attaches a new fence to a buffer and gives its handle (`DRM_IOCTL_VGEM_FENCE_ATTACH`). Throws
  /// `EBUSY` while a fence is open that it would conflict with.
  public func attach(
    to buffer: Reservation, _ access: BufferAccess
  ) async throws(KernelError) -> UInt32 {
    guard !access.isEmpty, access.isSubset(of: .readWrite) else { throw .EINVAL }
    let isWrite = access.contains(.write)
    let fence = Fence(
      contexts.kernel, operations: operations, context: contexts.allocate(), seqno: 1)
    try await buffer.lock.withLock { () throws(KernelError) in
      guard buffer.isSignaled(.toWaitFor(isWrite: isWrite)) else { throw .EBUSY }
      try buffer.reserve(1)
      buffer.add(fence, isWrite ? .write : .read)
    }
    let timer = contexts.kernel.after(Self.limit, "vgem fence limit") {
      if !fence.isSignaledFlag {
        fence.setError(.ETIMEDOUT)
        fence.signal()
      }
    }
    contexts.kernel.touch(shared)
    let index = open.firstIndex { $0 == nil } ?? open.count
    if index == open.count { open.append((fence, timer)) } else { open[index] = (fence, timer) }
    return UInt32(index + 1)
  }

  /// Signals a fence and forgets its handle (`DRM_IOCTL_VGEM_FENCE_SIGNAL`). Throws `ENOENT` for no
  /// such handle, `EINVAL` for flags, `ETIMEDOUT` when it had ended by itself.
  public func signal(_ handle: UInt32, flags: UInt32 = 0) throws(KernelError) {
    guard flags == 0 else { throw .EINVAL }
    contexts.kernel.touch(shared)
    let index = Int(handle) - 1
    guard open.indices.contains(index), let (fence, timer) = open[index] else { throw .ENOENT }
    open[index] = nil
    timer.cancel()
    guard fence.signal() else { throw .ETIMEDOUT }
  }
}
