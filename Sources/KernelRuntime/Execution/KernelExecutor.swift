import Base

/// The executor of one machine: it runs jobs on the thread that drives the machine, and nowhere
/// else.
///
/// One class is both the actor's serial executor and the tasks' preferred executor. Either role
/// alone sends resumed continuations through the global pool first, which would give order away.
@safe
final class KernelExecutor: SerialExecutor, TaskExecutor, @unchecked Sendable {
  // Sendable is claimed by hand: every entry point runs on the driving thread, because jobs are
  // enqueued only by code that runs in `drain()` or by the scheduler itself.

  /// The job made runnable by the step in progress: the scheduler resumes one task at a time, so
  /// there is one nearly always.
  private var job: UnownedJob?
  /// Further jobs, in order.
  private var more: [UnownedJob] = []

  /// The thread that drives the machine now.
  private var driver = ThreadIdentity.current

  /// The calling thread drives the machine from here on.
  func adoptThread() { driver = .current }

  func enqueue(_ job: consuming ExecutorJob) {
    invariant(driver.isCurrent, "a task came back from another thread: its body left the machine")
    if self.job == nil {
      self.job = UnownedJob(job)
    } else {
      more.append(UnownedJob(job))
    }
  }

  /// Runs jobs until none is left.
  func drain() {
    while let next = job {
      job = nil
      unsafe next.runSynchronously(
        isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
      if job == nil && !more.isEmpty { job = more.removeFirst() }
    }
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    unsafe UnownedTaskExecutor(ordinary: self)
  }

  func checkIsolated() {}
}

/// The actor that all model code of one machine is isolated to.
actor KernelActor {
  nonisolated let executor: KernelExecutor

  init(executor: KernelExecutor) { self.executor = executor }

  nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }

  /// Runs a task's body to its end; everything it awaits stays on this actor.
  func run(_ start: TaskStart) async {
    await start.body()
    start.finished()
  }
}

/// A task's body on its way to the actor.
struct TaskStart: @unchecked Sendable {
  // Sendable is claimed by hand: the value is made and consumed on the driving thread; the
  // compiler can't see that the task's executor is that thread.
  let body: () async -> Void
  let finished: () -> Void
}
