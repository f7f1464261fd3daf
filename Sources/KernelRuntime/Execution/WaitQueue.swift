import DequeModule

/// A queue of tasks that sleep until a condition holds (`wait_queue_head_t`).
public final class WaitQueue {
  public let name: String
  private let kernel: Kernel
  private var waiters: Deque<KernelTask> = []
  /// Tells queues apart where steps are compared; numbered together with locks.
  private let instance: Int

  public init(_ kernel: Kernel, _ name: String) {
    self.kernel = kernel
    self.name = name
    instance = kernel.lockChecks.takeInstance()
  }

  /// Notes an access to what the queue's condition is made of, where that is kept beside it.
  @inline(__always)
  package func note(writing: Bool = true) { kernel.touch(.lock(instance), writing: writing) }

  /// Whether a task sleeps here.
  public var hasWaiters: Bool { !waiters.isEmpty }

  /// Sleeps until `condition` holds; it is tested before the first sleep and after each wake-up.
  public func wait(until condition: () -> Bool) async {
    await kernel.point()
    kernel.touch(.lock(instance))
    while !condition() {
      waiters.append(kernel.requireTask("a wait on \(name)"))
      await kernel.block(.queue(name))
      kernel.touch(.lock(instance))
    }
  }

  /// As ``wait(until:)`` for at most `timeout` nanoseconds; false when the time ran out first.
  ///
  /// `reason` replaces the queue's name in reports of hangs.
  public func wait(
    timeout: UInt64, for reason: WaitReason? = nil, until condition: () -> Bool
  ) async -> Bool {
    await kernel.point()
    kernel.touch(.lock(instance))
    kernel.touch(.clock, writing: false)
    if condition() { return true }
    let me = kernel.requireTask("a wait on \(name)")
    let (sum, overflow) = kernel.now.addingReportingOverflow(timeout)
    let deadline = overflow ? UInt64.max : sum
    while true {
      let now = kernel.now
      guard now < deadline else {
        waiters.removeAll { $0 === me }
        return condition()
      }
      if !waiters.contains(where: { $0 === me }) { waiters.append(me) }
      let timer =
        timeout == .max
        ? nil : kernel.addTimer(after: deadline - now, .wake(me, sleepCount: me.sleepCount &+ 1))
      await kernel.block(reason ?? .queue(name))
      timer?.cancel()
      kernel.touch(.lock(instance))
      if condition() {
        waiters.removeAll { $0 === me }
        return true
      }
    }
  }

  /// Wakes every waiter; each tests its condition again.
  public func wakeAll() {
    kernel.touch(.lock(instance))
    if waiters.isEmpty { return }
    let woken = waiters
    waiters = []
    for task in woken { kernel.wake(task) }
  }

  /// Wakes the oldest waiter.
  public func wakeOne() {
    kernel.touch(.lock(instance))
    while let task = waiters.popFirst() {
      guard task.waitingFor != nil else { continue }
      kernel.wake(task)
      return
    }
  }
}

/// A one-way latch that tasks can wait for (`struct completion`).
public final class Completion {
  private let queue: WaitQueue
  private var wasCompleted = false
  public var isDone: Bool {
    queue.note(writing: false)
    return wasCompleted
  }

  public init(_ kernel: Kernel, _ name: String) { queue = WaitQueue(kernel, name) }

  /// Ends every wait, now and later.
  public func complete() {
    wasCompleted = true
    queue.wakeAll()
  }

  /// Sleeps until ``complete()``.
  public func wait() async { await queue.wait { wasCompleted } }

  /// Makes the latch usable again.
  public func reset() {
    queue.note()
    wasCompleted = false
  }
}
