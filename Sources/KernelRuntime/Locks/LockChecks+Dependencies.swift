// The rules between locks, fences and reclaim: dma_fence_begin_signalling() and what it forbids.

extension LockChecks {
  /// The running task may sleep on a fence (`__dma_fence_might_wait`), whether it will or not.
  package func mightWaitForFence(_ task: KernelTask) {
    touch(DependencyGraph.Node.fence, task, "waits for a fence")
  }

  /// The running task may reclaim memory (`might_alloc(GFP_KERNEL)`), whether it will or not.
  public func mightReclaim(_ task: KernelTask) {
    touch(DependencyGraph.Node.reclaim, task, "allocates with reclaim")
  }

  /// As ``mightReclaim(_:)``, for an allocation that may not call notifiers' sleeping parts
  /// (`GFP_NOFS` and weaker still reclaim and so call notifiers).
  public func mightCallNotifiers(_ task: KernelTask) {
    touch(DependencyGraph.Node.notifier, task, "calls MMU notifiers")
  }

  private func touch(_ node: Int, _ task: KernelTask, _ action: String) {
    for held in task.locks where !knewBefore(held, node) {
      learn(graph.node(lockClass(of: held)), node, task, "\(task.name) \(action)")
    }
    if task.signallingDepth > 0 {
      forbid(node, task, "\(task.name) \(action) in a signalling section", isForbidden: true)
    }
  }

  /// LOCKING: every sleeping lock that is waited for, and not merely tried, passes here.
  func learnLock(_ lock: HeldLock, _ held: [HeldLock], _ task: KernelTask) {
    for other in held where !isKnown(other, lock) {
      note(other, lock)
      let taken = graph.node(lockClass(of: lock))
      learn(graph.node(lockClass(of: other)), taken, task, task.name)
    }
    if task.signallingDepth > 0 {
      let lockClass = lockClass(of: lock)
      let taken = graph.node(lockClass)
      forbid(
        taken, task, "\(task.name) takes it in a signalling section",
        isForbidden: !lockClass.isAllowedWhileSignalling)
    }
  }

  /// Adds `from -> to` and reports the cycle that it closes.
  private func learn(_ from: Int, _ to: Int, _ task: KernelTask, _ witness: String) {
    if graph.has(from, to) { return }
    graph.insert(from, to, witness)
    guard let back = graph.path(to, from) else { return }
    report(.cycle, task, [graph.step(from, to)] + back)
  }

  /// Adds `fence -> to`, because a fence now waits for it, and reports what that breaks.
  private func forbid(_ to: Int, _ task: KernelTask, _ witness: String, isForbidden: Bool) {
    let fence = DependencyGraph.Node.fence
    let isNew = !graph.has(fence, to)
    if isNew { graph.insert(fence, to, witness) }
    let back = to == fence ? [] : graph.path(to, fence) ?? []
    if isForbidden {
      report(.signalling, task, [graph.step(fence, to)] + back)
    } else if isNew && !back.isEmpty {
      report(.cycle, task, [graph.step(fence, to)] + back)
    }
  }
}
