import Base
import DequeModule
import HeapModule

/// The runtime of one machine: its tasks, clock, order of events, failures and trace.
///
/// Everything of one machine lives on the thread that calls ``run(_:)``; hundreds of kernels may
/// run side by side, one a thread. All nondeterminism (order, time, draws, failures) comes from
/// here, so that a run is a list of choices and can be repeated.
///
/// `await` means "may sleep"; each sleeping operation begins with ``point()``, the place where
/// another task may be chosen to run first. Between two awaits nothing else runs.
public final class Kernel {
  /// How time passes.
  public enum Mode: String, Sendable {
    /// A virtual clock that jumps to the next event when nothing can run.
    case simulated
    /// The host's monotonic clock; copy engines move bytes on worker threads.
    case realTime
  }

  public let mode: Mode
  public let trace: Trace
  public let failures: FailurePlan
  public let choices: any Choices
  /// Order and ownership of locks, checked at run time.
  public let lockChecks = LockChecks()

  /// The strategy's answers to what it may do at all, which don't change during a run.
  let mayReorder: Bool
  let mayPreemptTasks: Bool
  let mayAdvanceTime: Bool
  /// What each step touches, for strategies that ask.
  let footprints: Footprints?

  let executor = KernelExecutor()
  let actor: KernelActor
  /// INVARIANT: in the order in which they became ready, so the first has waited longest.
  var ready: Deque<Runnable> = []
  var timers: Heap<TimerEntry> = []
  var timerCount: UInt64 = 0
  let wallClock: WallClock
  let timerLedger = TimerLedger()
  var virtualNow: UInt64 = 0
  private var nextID = 0
  /// Tasks that have begun or will, in order of creation, without the finished ones.
  var liveTasks: [KernelTask] = []
  /// What runs now.
  public var current: Runnable? { running }
  var running: Runnable?
  /// The one that a preemption chose to run next.
  var chosenNext: Runnable?
  /// Bounds the steps of one run, so that a live-lock ends with a report.
  public var stepLimit: UInt64 = 50_000_000
  /// For how long, in nanoseconds of virtual time, a strategy may leave a ready runnable standing
  /// while events happen.
  public var raceHorizon: UInt64 = 1_000_000
  /// Steps dispatched since the kernel was made.
  public var steps: UInt64 { stepCount }
  var stepCount: UInt64 = 0
  /// ``stepCount`` at the last ``progress()``.
  var progressSteps: UInt64 = 0
  /// Told when nothing can run and the clock is about to move to the next event, or the run to
  /// fail: the moment at which tasks that sleep can be asked who will wake them.
  public var quietObserver: (() -> Void)?
  /// Who holds the lock of a page, by frame number, where the memory management knows: asked only
  /// when somebody wants to see who waits for whom.
  package var pageLockHolder: ((UInt64) -> Runnable?)?
  /// Word from worker threads; real-time mode only.
  let inbox: Inbox?
  /// Steps put off by ``irqWork(_:)``, oldest first.
  var deferred: [() -> Void] = []
  var deferredAgent: Agent?
  /// Says whether this kernel still exists, to objects that may outlive it.
  package let lifetime = KernelLifetime()

  public init(
    mode: Mode = .simulated,
    choices: any Choices = FIFOChoices(),
    failures: FailurePlan = FailurePlan(),
    trace: Trace = Trace()
  ) {
    self.mode = mode
    self.choices = choices
    mayReorder = choices.reorders
    mayPreemptTasks = choices.preempts
    mayAdvanceTime = choices.advancesTime && mode == .simulated
    footprints = choices.footprints
    inbox = mode == .realTime ? Inbox() : nil
    timerLedger.footprints = footprints
    lifetime.footprints = footprints
    self.failures = failures
    self.trace = trace
    actor = KernelActor(executor: executor)
    wallClock = WallClock()
    trace.clock = { [unowned self] in now }
    trace.currentRow = { [unowned self] in current?.row ?? .kernel }
  }

  deinit { lifetime.isOver = true }

  /// Forgets what was still to be done, for a machine that goes as it stands: nothing runs again.
  ///
  /// A task that never began goes with what its body holds. One that sleeps can't be ended from
  /// outside: what its frames hold stays.
  package func abandon() {
    ready.removeAll()
    chosenNext = nil
    timers = []
    liveTasks = []
    deferred = []
    deferredAgent = nil
    quietObserver = nil
    pageLockHolder = nil
  }

  /// Nanoseconds since the kernel was made.
  public var now: UInt64 {
    mode == .simulated ? virtualNow : wallClock.elapsed
  }

  /// The running task; nil in an agent's step and outside a run.
  public var currentTask: KernelTask? { runningTask }
  var runningTask: KernelTask?

  /// The running task; traps where none runs, naming the operation that needs one.
  @inline(__always)
  package func requireTask(_ operation: @autoclosure () -> String) -> KernelTask {
    guard let task = runningTask else {
      invariantFailed("\(operation()) outside a task: \(current?.name ?? "no runnable")")
    }
    return task
  }

  func takeID() -> Int {
    touch(.ids)
    defer { nextID += 1 }
    return nextID
  }

  /// Starts a task; it runs when the scheduler first chooses it.
  @discardableResult
  public func spawn(_ name: String, _ body: @escaping () async -> Void) -> KernelTask {
    let task = KernelTask(
      kernel: self, id: takeID(), name: name, row: trace.row(name, in: .cpu), body: body)
    liveTasks.append(task)
    makeReady(task)
    return task
  }

  /// Makes an agent whose `step` runs each time it is kicked. The row's group defaults to
  /// interrupts.
  public func agent(
    _ name: String, group: TraceGroup = .interrupts, step: @escaping () -> Void
  ) -> Agent {
    Agent(kernel: self, id: takeID(), name: name, row: trace.row(name, in: group), step: step)
  }

  /// Runs `body` soon in atomic context, outside every lock that is held now (`irq_work_queue`).
  ///
  /// A fence's callback, which runs under the fence's lock, hands on what takes locks in this way.
  package func irqWork(_ body: @escaping () -> Void) {
    touch(.deferred)
    deferred.append(body)
    if let deferredAgent {
      deferredAgent.kick()
      return
    }
    let made = agent("irq_work") { [unowned self] in
      touch(.deferred)
      let batch = deferred
      deferred = []
      for body in batch { body() }
    }
    deferredAgent = made
    made.kick()
  }

  func makeReady(_ runnable: Runnable) {
    guard !runnable.isReady else { return }
    runnable.isReady = true
    runnable.readySince = virtualNow
    ready.append(runnable)
  }

  /// Draws a number below `bound` for model data (not for order), from the run's choices.
  public func draw(below bound: Int, _ label: StaticString) -> Int {
    choices.draw(below: bound, label)
  }

  /// Says that the flow got somewhere: the bound on steps (``stepLimit``) counts from here again.
  public func progress() { progressSteps = stepCount }
}

/// Outlives its kernel, and tells others so.
package final class KernelLifetime {
  package internal(set) var isOver = false
  /// Where the kernel's strategy wants accesses noted.
  var footprints: Footprints?
}
