public import Base
import KernelRuntime

/// A queue of jobs of one client, run in order (`struct drm_sched_entity`).
public final class SchedulerEntity {
  let contexts: FenceContexts
  /// `context` is of the scheduled fences, `context + 1` of the finished ones.
  public let context: UInt64
  public internal(set) var priority: SchedulerPriority
  /// The schedulers that it may use; one is chosen when it is idle.
  private var choices: [JobScheduler]
  /// Where its jobs go now; nil for an entity without one.
  public private(set) var scheduler: JobScheduler?
  var sequence: UInt64 = 0
  var jobs: [SchedulerJob] = []
  /// What the first job waits for.
  private var dependency: (fence: Fence, callback: FenceCallback)?
  /// The finished fence of the job that reached the hardware last.
  var lastScheduled: Fence?
  /// Killed, or its scheduler has gone: takes no more jobs.
  public internal(set) var isStopped = false
  /// Its jobs are cancelled instead of run, because one of them hung the device.
  public var isGuilty = false
  /// The scheduler doesn't look at it. INVARIANT: complete from the start, so that killing an
  /// entity that never ran doesn't wait.
  let idle: Completion

  /// - Parameter schedulers: where its jobs may run, best first when equally loaded
  ///   (`drm_sched_entity_init`).
  public init(
    _ contexts: FenceContexts, _ schedulers: [JobScheduler],
    priority: SchedulerPriority = .normal
  ) {
    self.contexts = contexts
    self.priority = priority
    choices = schedulers
    scheduler = schedulers.first
    context = contexts.allocate(2)
    idle = Completion(contexts.kernel, "entity idle")
    idle.complete()
  }

  /// The error of the last job that reached the hardware (`drm_sched_entity_error`).
  public var error: KernelError? {
    note(writing: false)
    return lastScheduled?.error
  }
  public var queuedCount: Int {
    note(writing: false)
    return jobs.count
  }

  /// Notes an access to the queue and to what its first job waits for.
  @inline(__always)
  func note(writing: Bool = true) {
    contexts.kernel.touch(.timeline(context), writing: writing)
  }

  /// Gives it other schedulers (`drm_sched_entity_modify_sched`); used for the next job that finds
  /// the entity idle.
  public func modify(_ schedulers: [JobScheduler]) {
    invariant(!schedulers.isEmpty, "an entity without schedulers")
    note()
    choices = schedulers
  }

  /// Takes effect when the entity next enters a run queue (`drm_sched_entity_set_priority`).
  public func setPriority(_ priority: SchedulerPriority) {
    note()
    self.priority = priority
  }

  /// Moves to the least loaded scheduler, if nothing is queued or on the hardware.
  func selectScheduler() {
    note()
    guard jobs.isEmpty, lastScheduled?.isSignaled ?? true else { return }
    let best = choices.filter(\.isReady).min { $0.score < $1.score }
    guard let best, best !== scheduler else { return }
    scheduler?.remove(self)
    scheduler = best
  }

  func push(_ job: SchedulerJob) {
    note()
    guard !isStopped, let scheduler = job.scheduler else {
      // A killed entity's job never runs; its fences must end all the same.
      job.dependencies = []
      job.state = .over
      job.scheduled?.signal()
      job.finish(.ESRCH)
      job.scheduler?.backend.free(job)
      return
    }
    job.submitted = scheduler.takeTicket()
    scheduler.score += 1
    jobs.append(job)
    if jobs.count == 1 {
      scheduler.add(self)
      scheduler.wake()
    }
  }

  /// Whether its first job could run: there is one, and it waits for nothing.
  var isReady: Bool {
    note(writing: false)
    return !jobs.isEmpty && dependency == nil
  }

  /// Takes the first job if it waits for nothing more; otherwise arranges to be woken.
  func popJob() -> SchedulerJob? {
    note()
    guard let job = jobs.first else { return nil }
    while let fence = nextDependency(of: job) {
      if waitFor(fence) { return nil }
    }
    if isGuilty, let finished = job.finished, finished.error == nil {
      finished.setError(.ECANCELED)
    }
    lastScheduled = job.finished
    jobs.removeFirst()
    // A job on the hardware must not reach its entity, which may go first.
    job.entity = nil
    return job
  }

  private func nextDependency(of job: SchedulerJob) -> Fence? {
    if job.nextDependency < job.dependencies.count {
      defer { job.nextDependency += 1 }
      return job.dependencies[job.nextDependency]
    }
    return job.scheduler?.backend.prepare(job)
  }

  /// True when the entity now waits for the fence; false when there is nothing to wait for.
  private func waitFor(_ fence: Fence) -> Bool {
    // Fences of its own jobs: the queue's order sees to them.
    if fence.context == context || fence.context == context + 1 { return false }
    // QUIRK(nouveau): 6.12 waits only for "scheduled" of a job of the same scheduler, which a
    // killed job never reaches, and so hangs who depends on it. Removed upstream in 6.16; not done
    // here.
    let callback = fence.addCallback { [weak self] _ in
      guard let self else { return }
      note()
      dependency = nil
      scheduler?.wake()
    }
    guard let callback else { return false }
    dependency = (fence, callback)
    return true
  }

  // MARK: the end

  /// Sleeps until the queue is empty or stopped, for at most `timeout` (`drm_sched_entity_flush`).
  public func flush(timeout: UInt64 = .max) async {
    guard let scheduler else { return }
    _ = await scheduler.jobScheduled.wait(timeout: timeout) { jobs.isEmpty || isStopped }
  }

  /// Ends the entity: jobs that didn't reach the hardware finish with `ESRCH`, each after its
  /// dependencies and its predecessor (`drm_sched_entity_fini`).
  public func kill() async {
    guard let scheduler else { return }
    note()
    isStopped = true
    scheduler.remove(self)
    await idle.wait()
    note()
    if let dependency {
      dependency.fence.removeCallback(dependency.callback)
      self.dependency = nil
    }
    var previous = lastScheduled
    let killed = jobs
    jobs = []
    scheduler.score -= killed.count
    for job in killed {
      let work = KilledJob(job, after: previous)
      previous = job.finished
      work.goOn()
    }
    lastScheduled = nil
    scheduler.jobScheduled.wakeAll()
  }

  /// ``flush(timeout:)`` for a second, then ``kill()`` (`drm_sched_entity_destroy`).
  public func destroy() async {
    await flush(timeout: 1_000_000_000)
    await kill()
  }
}

/// A killed job on its way out. It still waits for what it depended on, because whoever waits for
/// it takes its end as the end of those too; no callback may sleep or hold locks, so each step is
/// put off.
private final class KilledJob {
  private let job: SchedulerJob
  private let kernel: Kernel?
  private var left: [Fence]

  init(_ job: SchedulerJob, after previous: Fence?) {
    self.job = job
    kernel = job.scheduler?.kernel
    left = (previous.map { [$0] } ?? []) + job.dependencies
  }

  func goOn() {
    while let fence = left.first {
      left.removeFirst()
      // For a fence that says "scheduled", its job's end is what counts.
      let end = (fence.operations as? JobFenceOperations)?.finished ?? fence
      let callback = end.addCallback { [self] _ in kernel?.irqWork { [self] in goOn() } }
      if callback != nil { return }
    }
    job.dependencies = []
    job.state = .over
    job.scheduled?.signal()
    job.finish(.ESRCH)
    job.scheduler?.backend.free(job)
    job.scheduler = nil
  }
}
