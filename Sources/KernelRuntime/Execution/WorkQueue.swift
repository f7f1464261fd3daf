import DequeModule

/// A piece of deferred work (`struct work_struct`); it may sleep.
public final class Work {
  public let name: String
  let body: () async -> Void
  /// Queued and not yet begun.
  public internal(set) var isPending = false
  /// Begun and not yet ended.
  public internal(set) var isRunning = false
  /// While above 0 the work can't be queued (`disable_work`).
  var disableCount = 0

  public init(_ name: String, _ body: @escaping () async -> Void) {
    self.name = name
    self.body = body
  }
}

/// Runs work items in order on at most `maxActive` worker tasks (`struct workqueue_struct`).
///
/// Workers are started when work arrives and end when none is left, so an idle queue holds no task.
public final class WorkQueue {
  public let name: String
  private let kernel: Kernel
  private let maxActive: Int
  private var pending: Deque<Work> = []
  private var workers = 0
  private let changed: WaitQueue

  public init(_ kernel: Kernel, _ name: String, maxActive: Int = 1) {
    self.kernel = kernel
    self.name = name
    self.maxActive = maxActive
    changed = WaitQueue(kernel, "workqueue \(name)")
  }

  /// Whether nothing is queued and no worker is left.
  package var isIdle: Bool { pending.isEmpty && workers == 0 }

  /// Queues `work`; false when it was queued already or is disabled (`queue_work`).
  @discardableResult
  public func queue(_ work: Work) -> Bool {
    changed.note()
    guard !work.isPending && work.disableCount == 0 else { return false }
    work.isPending = true
    pending.append(work)
    if workers < maxActive {
      workers += 1
      kernel.spawn("kworker/\(name)") { [self] in await drain() }
    }
    return true
  }

  private func drain() async {
    changed.note()
    while let work = pending.popFirst() {
      work.isPending = false
      work.isRunning = true
      await work.body()
      changed.note()
      work.isRunning = false
      changed.wakeAll()
    }
    workers -= 1
    changed.wakeAll()
  }

  /// Sleeps until `work` is neither queued nor running (`flush_work`).
  public func flush(_ work: Work) async {
    await changed.wait { !work.isPending && !work.isRunning }
  }

  /// Sleeps until the queue is empty and its workers have ended (`drain_workqueue`).
  public func flush() async {
    await changed.wait { pending.isEmpty && workers == 0 }
  }

  /// Takes `work` off the queue and sleeps until it doesn't run (`cancel_work_sync`); true when it
  /// was queued.
  @discardableResult
  public func cancel(_ work: Work) async -> Bool {
    changed.note()
    let was = work.isPending
    if was {
      pending.removeAll { $0 === work }
      work.isPending = false
    }
    await changed.wait { !work.isRunning }
    return was
  }

  /// As ``cancel(_:)``, and refuses the work until ``enable(_:)`` (`disable_work_sync`).
  public func disable(_ work: Work) async {
    changed.note()
    work.disableCount += 1
    await cancel(work)
  }

  /// Ends one ``disable(_:)``.
  public func enable(_ work: Work) {
    changed.note()
    work.disableCount -= 1
  }
}
