import HeapModule

/// Cancels a pending timer.
public final class TimerHandle {
  fileprivate(set) var isCancelled = false
  let deadline: UInt64

  init(deadline: UInt64) { self.deadline = deadline }

  /// Stops the timer; one that has fired is not undone.
  public func cancel() { isCancelled = true }
}

enum TimerAction {
  case wake(KernelTask, sleepCount: UInt64)
  case agent(Agent)
}

struct TimerEntry: Comparable {
  let deadline: UInt64
  let order: UInt64
  let handle: TimerHandle
  let action: TimerAction

  static func < (a: TimerEntry, b: TimerEntry) -> Bool {
    (a.deadline, a.order) < (b.deadline, b.order)
  }
  static func == (a: TimerEntry, b: TimerEntry) -> Bool { a.order == b.order }
}

extension Kernel {
  @discardableResult
  func addTimer(after delay: UInt64, _ action: TimerAction) -> TimerHandle {
    let (sum, overflow) = now.addingReportingOverflow(delay)
    let handle = TimerHandle(deadline: overflow ? .max : sum)
    timers.insert(
      TimerEntry(deadline: handle.deadline, order: timerCount, handle: handle, action: action))
    timerCount += 1
    return handle
  }

  /// Runs `action` in atomic context when `delay` nanoseconds have passed.
  @discardableResult
  public func after(_ delay: UInt64, _ name: String, _ action: @escaping () -> Void) -> TimerHandle
  {
    agent(name, step: action).kick(after: delay)
  }

  /// Lets time pass to the next pending timer and makes its runnable ready.
  func fireNextTimer() {
    while let entry = timers.popMin() {
      if entry.handle.isCancelled { continue }
      if mode == .simulated { virtualNow = max(virtualNow, entry.deadline) }
      fire(entry)
      return
    }
  }

  private func fire(_ entry: TimerEntry) {
    switch entry.action {
    case .wake(let task, let sleepCount):
      if task.sleepCount == sleepCount { wake(task) }
    case .agent(let agent):
      agent.kick()
    }
  }

  /// Makes ready whatever time or another thread has brought. Real-time mode only.
  func pollRealTime() {
    for agent in inbox.take() { agent.kick() }
    while let entry = timers.min, entry.handle.isCancelled || entry.deadline <= now {
      _ = timers.popMin()
      if !entry.handle.isCancelled { fire(entry) }
    }
  }

  /// Waits for the next event when nothing is ready; false when none can come.
  func waitForEvent() throws(RunFailure) -> Bool {
    while let entry = timers.min, entry.handle.isCancelled { _ = timers.popMin() }
    switch mode {
    case .simulated:
      guard !timers.isEmpty else { return false }
      fireNextTimer()
      return true
    case .realTime:
      let deadline = timers.min?.deadline
      guard deadline != nil || !inbox.isIdle else { return false }
      inbox.wait(nanoseconds: deadline.map { $0 > now ? $0 - now : 0 })
      return true
    }
  }
}
