import HeapModule

/// Cancels a pending timer.
public final class TimerHandle {
  /// Whether ``cancel()`` came before the time.
  public var isCancelled: Bool { state == .cancelled }
  let deadline: UInt64
  private let ledger: TimerLedger
  /// What is to be done; nil once that is settled, so that nothing is kept alive.
  fileprivate var action: TimerAction?
  fileprivate var state = State.pending

  fileprivate enum State {
    case pending
    case cancelled
    /// The entry has left the heap.
    case spent
  }

  init(deadline: UInt64, ledger: TimerLedger, action: TimerAction) {
    self.deadline = deadline
    self.ledger = ledger
    self.action = action
  }

  /// Stops the timer; one that has fired is not undone.
  public func cancel() {
    ledger.footprints?.touch(.timers, writing: true)
    guard state == .pending else { return }
    state = .cancelled
    action = nil
    ledger.cancelled += 1
  }
}

/// Counts cancelled entries that still lie in a kernel's heap, so that it knows when to sweep.
final class TimerLedger {
  var cancelled = 0
  /// Where the kernel's strategy wants accesses noted.
  var footprints: Footprints?
}

enum TimerAction {
  case wake(KernelTask, sleepCount: UInt64)
  case agent(Agent)
}

struct TimerEntry: Comparable {
  let deadline: UInt64
  let order: UInt64
  let handle: TimerHandle

  static func < (a: TimerEntry, b: TimerEntry) -> Bool {
    a.deadline != b.deadline ? a.deadline < b.deadline : a.order < b.order
  }
  static func == (a: TimerEntry, b: TimerEntry) -> Bool { a.order == b.order }
}

extension Kernel {
  @discardableResult
  func addTimer(after delay: UInt64, _ action: TimerAction) -> TimerHandle {
    touch(.timers)
    let (sum, overflow) = now.addingReportingOverflow(delay)
    let handle = TimerHandle(
      deadline: overflow ? .max : sum, ledger: timerLedger, action: action)
    timers.insert(TimerEntry(deadline: handle.deadline, order: timerCount, handle: handle))
    timerCount += 1
    if timerLedger.cancelled > 64 && timerLedger.cancelled > timers.count / 2 { sweepTimers() }
    return handle
  }

  /// Drops cancelled entries: a million waits with a limit of 15 s leave no heap of a million.
  private func sweepTimers() {
    timers = Heap(timers.unordered.filter { !$0.handle.isCancelled })
    timerLedger.cancelled = 0
  }

  /// Takes the next entry that isn't cancelled off the heap.
  private func popTimer() -> TimerHandle? {
    while let entry = timers.popMin() {
      if entry.handle.state == .pending {
        entry.handle.state = .spent
        return entry.handle
      }
      timerLedger.cancelled -= 1
    }
    return nil
  }

  func dropCancelledTimers() {
    if timerLedger.cancelled == 0 { return }
    while let entry = timers.min, entry.handle.isCancelled {
      _ = timers.popMin()
      timerLedger.cancelled -= 1
    }
  }

  /// Runs `action` in atomic context when `delay` nanoseconds have passed.
  @discardableResult
  public func after(_ delay: UInt64, _ name: String, _ action: @escaping () -> Void) -> TimerHandle
  {
    agent(name, step: action).kick(after: delay)
  }

  /// Lets time pass to the next pending timer and makes its runnable ready.
  func fireNextTimer() {
    guard let timer = popTimer() else { return }
    if mode == .simulated { virtualNow = max(virtualNow, timer.deadline) }
    fire(timer)
  }

  private func fire(_ timer: TimerHandle) {
    guard let action = timer.action else { return }
    timer.action = nil
    switch action {
    case .wake(let task, let sleepCount):
      if task.sleepCount == sleepCount { wake(task) }
    case .agent(let agent):
      agent.kick(by: self)
    }
  }

  /// Makes ready whatever time or another thread has brought. Real-time mode only.
  func pollRealTime() {
    for agent in inbox?.take() ?? [] { agent.kick() }
    dropCancelledTimers()
    while let entry = timers.min, entry.deadline <= now {
      if let due = popTimer() { fire(due) }
      dropCancelledTimers()
    }
  }

  /// Nanoseconds until the next timer is due; nil when none is pending.
  public var nextTimerDelay: UInt64? {
    dropCancelledTimers()
    guard let next = timers.min else { return nil }
    let now = now
    return next.deadline > now ? next.deadline - now : 0
  }

  /// Waits for the next event when nothing is ready; false when none can come.
  func waitForEvent() throws(RunFailure) -> Bool {
    dropCancelledTimers()
    switch mode {
    case .simulated:
      guard !timers.isEmpty else { return false }
      fireNextTimer()
      return true
    case .realTime:
      guard let inbox else { return false }
      let deadline = timers.min?.deadline
      guard deadline != nil || !inbox.isIdle else { return false }
      // The wall clock goes on between two readings: one reading decides and counts.
      let now = now
      inbox.wait(nanoseconds: deadline.map { $0 > now ? $0 - now : 0 })
      return true
    }
  }
}
