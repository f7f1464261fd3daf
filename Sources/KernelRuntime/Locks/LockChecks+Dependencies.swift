// The rules between locks, fences and reclaim: dma_fence_begin_signalling() and what it forbids.

extension LockChecks {
  /// The running task may sleep on a fence (`__dma_fence_might_wait`), whether it will or not.
  ///
  /// `behindFaults`: the fence's work may stand still at a page fault. Whoever serves that fault
  /// must not need what the waiter holds, and no other fence may depend on such a one (R93).
  package func mightWaitForFence(_ task: KernelTask, behindFaults: Bool = false) {
    touch(
      behindFaults ? DependencyGraph.Node.faultingFence : DependencyGraph.Node.fence, task,
      "waits for a fence")
  }

  /// The running task may reclaim memory (`might_alloc(GFP_KERNEL)`), whether it will or not.
  public func mightReclaim(_ task: KernelTask) {
    touch(DependencyGraph.Node.reclaim, task, "allocates with reclaim")
  }

  /// As ``mightReclaim(_:)``, for an allocation that may not call shrinkers (`GFP_NOFS` and
  /// weaker still reclaim and so call notifiers), and for who calls notifiers himself.
  public func mightCallNotifiers(_ task: KernelTask) {
    touch(DependencyGraph.Node.notifier, task, "calls MMU notifiers")
  }

  /// The running task may sleep for the lock of some page.
  package func mightWaitForPage(_ task: KernelTask) {
    touch(DependencyGraph.Node.page, task, "waits for a page lock")
  }

  /// The running task, or a step that can't sleep, lets others wait for a fence whose work may
  /// stand still at a page fault: a fence that all may wait for would then depend on it (R93).
  package func publishesFaultingFence(_ name: String) {
    let fence = DependencyGraph.Node.fence
    let faulting = DependencyGraph.Node.faultingFence
    let isNew = !graph.has(fence, faulting)
    if isNew { graph.insert(fence, faulting, "\(name) publishes it as a dma_fence") }
    report(
      .signalling, name, [graph.step(fence, faulting)] + (graph.path(faulting, fence) ?? []),
      holding: [])
  }

  private func touch(_ node: Int, _ task: KernelTask, _ action: String) {
    for held in task.locks where !knewBefore(held, node) {
      learn(graph.node(lockClass(of: held)), node, task, "\(task.name) \(action)")
    }
    if task.sections > 0 { touchInSections(node, task, action) }
  }

  private func touchInSections(_ node: Int, _ task: KernelTask, _ action: String) {
    for context in task.contexts where context != node {
      learn(context, node, task, "\(task.name) \(action) there")
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
    if task.sections > 0 { learnLockInSections(lock, task) }
  }

  private func learnLockInSections(_ lock: HeldLock, _ task: KernelTask) {
    for context in task.contexts {
      learn(context, graph.node(lockClass(of: lock)), task, "\(task.name) takes it there")
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
