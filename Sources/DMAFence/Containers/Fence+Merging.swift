import KernelRuntime

extension Fence {
  /// One fence that is signalled when all of `fences` are (`dma_fence_unwrap_merge`).
  ///
  /// Containers are opened, signalled fences dropped, and of each context only the latest kept.
  /// What is left is that one fence, an array, or, for nothing pending, a signalled stub with the
  /// latest time of all. Costs a sort.
  ///
  /// QUIRK(nouveau): as in the kernel, the error of a fence that was signalled before is not passed
  /// on.
  public static func merge(_ fences: [Fence], in contexts: FenceContexts) -> Fence {
    var pending: [(context: UInt64, fence: Fence)] = []
    pending.reserveCapacity(fences.count)
    var latest: UInt64 = 0
    for fence in fences {
      fence.forEachLeaf { leaf in
        if leaf.isSignaled {
          latest = max(latest, leaf.timestamp ?? 0)
        } else {
          pending.append((leaf.context, leaf))
        }
      }
    }
    guard let first = pending.first else { return stub(contexts.kernel, timestamp: latest) }
    if pending.count == 1 { return first.fence }
    pending.sort { a, b in
      a.context != b.context ? a.context < b.context : a.fence.isLater(than: b.fence)
    }
    var members: [Fence] = []
    members.reserveCapacity(pending.count)
    var last: UInt64?
    for (context, fence) in pending where context != last {
      last = context
      members.append(fence)
    }
    return members.count == 1 ? members[0] : FenceArray(contexts, members)
  }
}
