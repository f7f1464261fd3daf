import Base
import DequeModule
import HeapModule

extension Kernel {
  /// The place before an operation where another runnable may go first.
  ///
  /// A strategy that doesn't preempt passes straight through.
  @inlinable
  public func point() async {
    if mayPreempt { await preempt() }
  }

  @usableFromInline
  var mayPreempt: Bool {
    mayPreemptTasks && (!ready.isEmpty || timeMayPass)
  }

  /// Whether a strategy may let time pass although something can run: only to events within
  /// ``raceHorizon`` of the moment at which the longest waiting runnable became ready.
  ///
  /// A processor or an engine that stands still for longer is no order of a real machine. Without
  /// the bound, a task that polls with a pause could carry the clock past the 15 s of a fence's
  /// time-out, pause by pause, while a device that is ready never gets its turn.
  var timeMayPass: Bool {
    guard mayAdvanceTime else { return false }
    dropCancelledTimers()
    guard let next = timers.min else { return false }
    // No pending deadline has passed, so this is no negative difference.
    return next.deadline &- (ready.first?.readySince ?? virtualNow) <= raceHorizon
  }

  @usableFromInline
  func preempt() async {
    let me = requireTask("a scheduling point")
    let pick = choices.pick(current: me, ready: ready, timeMayPass: timeMayPass)
    switch pick {
    case .current:
      return
    case .ready(let index):
      chosenNext = ready.remove(at: index)
    case .time:
      // Time passes while this task could have run: the event's runnable goes first.
      fireNextTimer()
      guard !ready.isEmpty else { return }
      chosenNext = ready.removeLast()
    }
    makeReady(me)
    await suspend(me)
  }

  /// Lets every other ready runnable go first; what a polling loop must call.
  public func yield() async {
    let me = requireTask("yield")
    choices.yields(me)
    guard !ready.isEmpty || !timers.isEmpty else { return }
    if ready.isEmpty && mode == .simulated {
      // Nothing else can run now, so polling can only be ended by an event.
      fireNextTimer()
    }
    makeReady(me)
    await suspend(me)
  }

  /// Sleeps for `duration` nanoseconds.
  public func sleep(_ duration: UInt64) async {
    let me = requireTask("sleep")
    let deadline = now &+ duration
    addTimer(after: duration, .wake(me, sleepCount: me.sleepCount &+ 1))
    await block(.sleep(until: deadline))
  }

  /// Sleeps until ``wake(_:)``, but not past `deadline`.
  package func block(_ reason: WaitReason, until deadline: UInt64) async {
    let me = requireTask("a sleep on \(reason)")
    let now = now
    guard deadline > now else { return }
    let timer =
      deadline == .max
      ? nil : addTimer(after: deadline - now, .wake(me, sleepCount: me.sleepCount &+ 1))
    await block(reason)
    timer?.cancel()
  }

  /// Sleeps until ``wake(_:)``.
  package func block(_ reason: WaitReason) async {
    let me = requireTask("a sleep on \(reason)")
    invariant(me.atomicDepth == 0, "\(me.name) sleeps on \(reason) in atomic context")
    touch(.runnable(me.id))
    me.sleepCount &+= 1
    me.reason = reason
    await suspend(me)
  }

  /// Makes a sleeping task ready; waking one that doesn't sleep changes nothing.
  package func wake(_ task: KernelTask) {
    touch(.runnable(task.id))
    guard task.reason != nil else { return }
    task.reason = nil
    makeReady(task)
  }

  func suspend(_ me: KernelTask) async {
    unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      unsafe me.continuation = continuation
    }
    running = me
  }

  // MARK: the loop

  /// Runs until `isDone`, or until nothing can run any more.
  func loop(until isDone: () -> Bool) throws(RunFailure) {
    invariant(running == nil, "run() inside a run of the same kernel")
    executor.adoptThread()
    progressSteps = stepCount
    var spin = SpinWatch()
    let watched = SpinWatch.begin(before: stepLimit)
    while !isDone() {
      if mode == .realTime { pollRealTime() }
      guard let next = takeNext() else {
        if let quietObserver { quietObserver() }
        if !ready.isEmpty { continue }
        if try waitForEvent() { continue }
        throw .deadlock(blockedTasks())
      }
      stepCount &+= 1
      if stepCount &- progressSteps > watched {
        if stepCount &- progressSteps > stepLimit {
          // It has not run: whoever runs the kernel further begins with it.
          chosenNext = next
          throw .stepLimit(steps: stepLimit, running: spin.runners)
        }
        spin.note(next, since: progressSteps)
      }
      dispatch(next)
    }
  }

  private func takeNext() -> Runnable? {
    if let chosen = chosenNext {
      chosenNext = nil
      chosen.isReady = false
      return chosen
    }
    if !mayReorder {
      let first = ready.popFirst()
      first?.isReady = false
      return first
    }
    if ready.isEmpty { return nil }
    let timeMayPass = timeMayPass
    if ready.count == 1 && !timeMayPass {
      let first = ready.removeFirst()
      first.isReady = false
      return first
    }
    switch choices.pick(current: nil, ready: ready, timeMayPass: timeMayPass) {
    case .ready(let index):
      let picked = ready.remove(at: index)
      picked.isReady = false
      return picked
    case .time:
      fireNextTimer()
      return takeNext()
    case .current:
      invariantFailed("a strategy chose to go on with a task while none was running")
    }
  }

  private func dispatch(_ runnable: Runnable) {
    running = runnable
    runningTask = runnable.asTask
    if let footprints { footprints.begin(runnable.id) }
    runnable.dispatch()
    running = nil
    runningTask = nil
  }

  /// Lets a task go on until it next sleeps.
  func resume(_ task: KernelTask) {
    switch task.phase {
    case .live:
      guard let continuation = unsafe task.continuation else {
        invariantFailed("\(task.name) is ready without a continuation")
      }
      unsafe task.continuation = nil
      unsafe continuation.resume()
    case .new(let body):
      task.phase = .live
      start(task, body)
    case .finished:
      invariantFailed("\(task.name) ran after its end")
    }
    executor.drain()
    let hasStopped = unsafe task.isFinished || task.continuation != nil
    invariant(
      hasStopped,
      "\(task.name) left its machine's thread: a body isolated to another actor, "
        + "as top-level code is"
    )
  }

  private func start(_ task: KernelTask, _ body: @escaping () async -> Void) {
    let start = TaskStart(body: body) { [unowned self] in finish(task) }
    let actor = actor
    Task(executorPreference: executor) { await actor.run(start) }
  }

  private func finish(_ task: KernelTask) {
    touch(.runnable(task.id))
    lockChecks.taskEnds(task)
    task.phase = .finished
    liveTasks.removeAll { $0 === task }
    for joiner in task.joiners { wake(joiner) }
    task.joiners = []
  }

  /// Calls `body` for each task that sleeps on a fence, in order of creation.
  public func forEachFenceWait(
    _ body: (_ task: KernelTask, _ context: UInt64, _ seqno: UInt64) -> Void
  ) {
    for task in liveTasks {
      if case .fence(let context, let seqno)? = task.reason { body(task, context, seqno) }
    }
  }

  /// Every task that sleeps, with what it sleeps on, in order of creation.
  public func blockedTasks() -> [BlockedTask] {
    liveTasks.compactMap { task in
      guard var reason = task.waitingFor else { return nil }
      let blockers = blockers(of: task)
      if case .lock(let lock, _) = reason, let holder = blockers.first {
        // The lock may have changed hands since the task went to sleep.
        reason = .lock(lock, owner: holder.name)
      }
      return BlockedTask(
        name: task.name, reason: reason,
        holds: task.locks.map { lockChecks.lockClass(of: $0).name }, id: task.id,
        waitsFor: blockers.map(\.id))
    }
  }

  /// The live tasks that hold the lock or the page lock that `task` sleeps on, or whose end it
  /// waits for.
  private func blockers(of task: KernelTask) -> [KernelTask] {
    if case .pageLock(let pfn)? = task.waitingFor {
      let holder = pageLockHolder?(pfn)
      return liveTasks.filter { $0 === holder }
    }
    return liveTasks.filter { other in
      if let lock = task.waitingLock { return other.locks.contains { $0.instance == lock } }
      return other.joiners.contains { $0 === task }
    }
  }
}

/// A task that sleeps when a run ends, with what it waits for and which locks it holds.
public struct BlockedTask: Hashable, Sendable, CustomStringConvertible {
  public let name: String
  public let reason: WaitReason
  public let holds: [String]
  /// ``Runnable/id``, which tells tasks of one name apart.
  public var id = 0
  /// The ids of the live tasks that must do something first, where the runtime knows: who holds the
  /// lock now, or whose end is waited for.
  public var waitsFor: [Int] = []

  public var description: String {
    let locks = holds.isEmpty ? "" : " and holds \(holds.joined(separator: ", "))"
    return "\(name) waits for \(reason)\(locks)"
  }
}

/// Why a run ended before its body did.
public enum RunFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// Nothing can run and no event is due; the tasks that sleep.
  case deadlock([BlockedTask])
  /// The bound on steps was passed: a live-lock, or a flow longer than the bound. With who ran in
  /// the last steps before it, the busiest first.
  case stepLimit(steps: UInt64, running: [Runner])

  /// A task or agent, and the steps that it took.
  public struct Runner: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public internal(set) var steps: UInt64

    public init(name: String, steps: UInt64) {
      self.name = name
      self.steps = steps
    }

    public var description: String { "\(name) \(steps)" }
  }

  public var description: String {
    switch self {
    case .deadlock(let tasks):
      "deadlock: " + tasks.map(\.description).joined(separator: "; ")
    case .stepLimit(let steps, _): "no end within \(steps) steps; \(runners)"
    }
  }

  /// Who ran in the last steps, in words.
  public var runners: String {
    guard case .stepLimit(_, let running) = self, !running.isEmpty else { return "nobody ran" }
    let last = running.reduce(0) { $0 + $1.steps }
    let named = running.prefix(4).map(\.description).joined(separator: ", ")
    let rest = running.count > 4 ? " and \(running.count - 4) others" : ""
    return "of the last \(last) steps \(named)\(rest)"
  }
}

/// Who runs in the last steps before the bound: in a live-lock, those who keep each other going.
private struct SpinWatch {
  private var counts: [(id: Int, runner: RunFailure.Runner)] = []
  /// The count began when no progress had been made since this step.
  private var since: UInt64 = 0

  /// How many steps without progress come before the count: enough of them are left to see a
  /// circle of many tasks go round.
  static func begin(before limit: UInt64) -> UInt64 { limit - min(limit / 2, 1000) }

  mutating func note(_ runnable: Runnable, since progress: UInt64) {
    if since != progress {
      since = progress
      counts = []
    }
    if let index = counts.firstIndex(where: { $0.id == runnable.id }) {
      counts[index].runner.steps += 1
    } else {
      counts.append((runnable.id, RunFailure.Runner(name: runnable.name, steps: 1)))
    }
  }

  /// The busiest first, and of the equally busy the one that was made first.
  var runners: [RunFailure.Runner] {
    counts.sorted { ($1.runner.steps, $0.id) < ($0.runner.steps, $1.id) }.map(\.runner)
  }
}
