/// What an allocation may do to get memory (`gfp_t`, as far as it matters to who waits for whom).
public enum AllocationMode: Hashable, Sendable {
  /// Sleep and reclaim: notifiers and shrinkers run, and may wait for fences (`GFP_KERNEL`).
  case mayReclaim
  /// Reclaim without shrinkers that wait; notifiers still run (`GFP_NOFS`, `GFP_NOIO`).
  case noShrinkers
  /// Take what is free, or fail (`GFP_ATOMIC`, `GFP_NOWAIT`): all that is allowed where a fence's
  /// signalling depends on it (R73, R74), in interrupts, and under a lock that notifiers take.
  case atomic
}

/// What a task runs on behalf of the memory management or of a device's page faults: what it waits
/// for there, whoever began it waits for too.
package enum CheckedContext {
  /// Frees memory for an allocation.
  case reclaim
  /// A callback of an MMU notifier.
  case notifier
  /// A shrinker.
  case shrinker
  /// Serves page faults of a device, for which fences of the faulting work wait.
  case faultService

  fileprivate var node: Int {
    switch self {
    case .reclaim: DependencyGraph.Node.reclaim
    case .notifier: DependencyGraph.Node.notifier
    case .shrinker: DependencyGraph.Node.shrinker
    case .faultService: DependencyGraph.Node.faultingFence
    }
  }
}

extension Kernel {
  /// Notes that memory is allocated here (`might_alloc`), whether this time it takes long or not.
  ///
  /// What ``AllocationMode/mayReclaim`` breaks is an offence in ``lockChecks``: in an interrupt or
  /// a fence's callback, in a section that a fence's signalling waits for, under a lock that
  /// reclaim may come to need.
  @inline(__always)
  public func mightAllocate(_ mode: AllocationMode = .mayReclaim) {
    if mode == .atomic { return }
    noteAllocation(mode)
  }

  @usableFromInline
  func noteAllocation(_ mode: AllocationMode) {
    guard let task = runningTask, task.atomicDepth == 0 else {
      // Outside a run a machine is being built.
      guard let running else { return }
      lockChecks.report(
        .atomic, running.name,
        ["\(running.name) allocates with \(mode) in atomic context"], holding: [])
      return
    }
    if mode == .mayReclaim {
      lockChecks.mightReclaim(task)
    } else {
      lockChecks.mightCallNotifiers(task)
    }
  }

  /// Runs `body` on behalf of `context`: the locks that it takes and the fences that it waits for
  /// are learned as things that the context waits for.
  package func within<T, E: Error>(
    _ context: CheckedContext, _ body: () async throws(E) -> T
  ) async throws(E) -> T {
    guard let task = runningTask else { return try await body() }
    task.contexts.append(context.node)
    task.sections += 1
    defer {
      task.contexts.removeLast()
      task.sections -= 1
    }
    return try await body()
  }
}
