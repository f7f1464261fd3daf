public import Base

/// Where a fence stands (`dma_fence_get_status`: 0, 1, or a negative error).
public enum FenceStatus: Hashable, Sendable, CustomStringConvertible {
  /// The work isn't done (0).
  case pending
  /// The work is done (1).
  case signaled
  /// The work ended without success.
  case failed(KernelError)

  /// The kernel's number: 0, 1, or the negative errno.
  public var code: Int32 {
    switch self {
    case .pending: 0
    case .signaled: 1
    case .failed(let error): -error.errno
    }
  }

  public var description: String {
    switch self {
    case .pending: "pending"
    case .signaled: "signaled"
    case .failed(let error): "error \(error)"
    }
  }
}

/// How a wait for a fence ended (`dma_fence_wait_timeout`).
public enum FenceWait: Hashable, Sendable {
  /// The fence is signalled, perhaps with an error, which ``Fence/status`` tells. `remaining`
  /// nanoseconds of the limit are left: at least 1, and `.max` when there was no limit.
  case signaled(remaining: UInt64)
  /// The limit passed first (0).
  case timedOut

  /// Whether the fence is signalled.
  public var isSignaled: Bool { self != .timedOut }
}
