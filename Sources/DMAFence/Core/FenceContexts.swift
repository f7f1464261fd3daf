public import KernelRuntime

/// The numbers of fence contexts of one machine (`dma_fence_context_alloc`).
///
/// A context is a timeline: its fences are ordered by sequence number. Numbers are never used
/// twice.
public final class FenceContexts {
  let kernel: Kernel
  /// 0 is the context of stub fences.
  private var next: UInt64 = 1
  private var sharedStub: Fence?

  public init(_ kernel: Kernel) { self.kernel = kernel }

  /// The first of `count` consecutive new contexts.
  public func allocate(_ count: Int = 1) -> UInt64 {
    kernel.touch(.ids)
    defer { next += UInt64(count) }
    return next
  }

  /// The machine's one fence that is signalled from the start (`dma_fence_get_stub`).
  public var stub: Fence {
    kernel.touch(.ids, writing: sharedStub == nil)
    if let sharedStub { return sharedStub }
    let made = Fence.stub(kernel)
    sharedStub = made
    return made
  }
}

extension Fence {
  /// A new fence that is signalled, with its own time (`dma_fence_allocate_private_stub`).
  public static func stub(_ kernel: Kernel, timestamp: UInt64? = nil) -> Fence {
    let fence = Fence(kernel, operations: StubOperations(), context: 0, seqno: 0)
    fence.signal(at: timestamp ?? kernel.now)
    return fence
  }
}

private final class StubOperations: FenceOperations {
  var driverName: String { "stub" }
  var timelineName: String { "stub" }
}
