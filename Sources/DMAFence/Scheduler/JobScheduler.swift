import Base
public import KernelRuntime

/// Feeds one ring of a device from many queues, in the shape of `struct drm_gpu_scheduler`.
///
/// Jobs run when their dependencies are signalled and their credits fit; the oldest job of the
/// highest priority goes first. A watchdog asks the driver about a job that takes too long.
public final class JobScheduler {
  /// How entities of one priority take turns (`drm_sched_policy`).
  public enum Policy: Sendable {
    /// The longest waiting job first.
    case fifo
    /// One job of each in turn.
    case roundRobin
  }

  let kernel: Kernel
  public let name: String
  unowned let backend: any SchedulerBackend
  public let policy: Policy
  /// Credits that jobs on the hardware may hold together.
  public let creditLimit: Int
  /// Nanoseconds that the oldest job may take; `.max` for no watchdog.
  public let timeout: UInt64
  /// Hangs that a job may cause before its entity is guilty.
  public let hangLimit: Int
  /// Entities with jobs, by priority.
  var queues: [RunQueue]
  /// Jobs on the hardware, oldest first.
  public internal(set) var pending: [SchedulerJob] {
    get {
      note()
      return onHardware
    }
    _modify {
      note()
      yield &onHardware
    }
  }
  private var onHardware: [SchedulerJob] = []
  public internal(set) var creditsInUse: Int {
    get {
      note()
      return credits
    }
    set {
      note()
      credits = newValue
    }
  }
  private var credits = 0
  /// Jobs queued or running: where a new entity goes.
  public internal(set) var score: Int {
    get {
      note()
      return load
    }
    set {
      note()
      load = newValue
    }
  }
  private var load = 0
  public private(set) var isReady = true
  var isPaused = false
  private var tickets: UInt64 = 0
  private let shared: SharedObject
  /// Woken when a job leaves a queue.
  let jobScheduled: WaitQueue
  private let queue: WorkQueue
  private let timeoutQueue: WorkQueue
  private var runWork = Work("none") {}
  private var freeWork = Work("none") {}
  private var timeoutWork = Work("none") {}
  private var watchdog: TimerHandle?
  private var watchdogAgent: Agent?

  /// Makes a scheduler (`drm_sched_init`). The backend must outlive it.
  public init(
    _ kernel: Kernel, _ name: String, _ backend: any SchedulerBackend, creditLimit: Int,
    timeout: UInt64 = .max, policy: Policy = .fifo, hangLimit: Int = 0
  ) {
    invariant(creditLimit > 0, "a scheduler without credits")
    self.kernel = kernel
    shared = kernel.takeSharedObject()
    self.name = name
    self.backend = backend
    self.policy = policy
    self.creditLimit = creditLimit
    self.timeout = timeout
    self.hangLimit = hangLimit
    queues = SchedulerPriority.allCases.map { _ in RunQueue() }
    jobScheduled = WaitQueue(kernel, "\(name) job scheduled")
    queue = WorkQueue(kernel, name)
    timeoutQueue = WorkQueue(kernel, "\(name)-tdr")
    runWork = Work("run_job") { [unowned self] in await runNext() }
    freeWork = Work("free_job") { [unowned self] in freeNext() }
    timeoutWork = Work("timedout_job") { [unowned self] in await askAboutOldest() }
  }

  /// Notes an access to the scheduler's queues and counts, which are one object where equivalent
  /// orders are left out: whatever two steps do here, their order counts.
  @inline(__always)
  func note() { kernel.touch(shared) }

  func takeTicket() -> (time: UInt64, order: UInt64) {
    tickets += 1
    return (kernel.now, tickets)
  }

  // MARK: run queues

  func add(_ entity: SchedulerEntity) {
    note()
    queues[entity.priority.rawValue].add(entity)
  }

  func remove(_ entity: SchedulerEntity) {
    note()
    // Its priority may have changed since it was added.
    for index in queues.indices { queues[index].remove(entity) }
  }

  /// Looks for work soon (`drm_sched_wakeup`).
  func wake() {
    note()
    if !isPaused { queue.queue(runWork) }
  }

  private func fits(_ job: SchedulerJob) -> Bool {
    if let now = backend.credits(of: job) { job.credits = now }
    // A job above the limit would never run: it is cut to the limit.
    job.credits = min(max(1, job.credits), creditLimit)
    return creditsInUse + job.credits <= creditLimit
  }

  /// The next entity with a job that can run; nil also when its job doesn't fit, because then
  /// nobody overtakes it.
  private func selectEntity() -> SchedulerEntity? {
    for index in queues.indices {
      guard let entity = queues[index].next(policy) else { continue }
      guard let job = entity.jobs.first, fits(job) else { return nil }
      queues[index].last = entity
      entity.idle.reset()
      return entity
    }
    return nil
  }

  // MARK: the works

  private func runNext() async {
    note()
    guard !isPaused, let entity = selectEntity() else { return }
    guard let job = entity.popJob() else {
      entity.idle.complete()
      wake()
      return
    }
    requeue(entity)
    creditsInUse += job.credits
    job.state = .running
    pending.append(job)
    startWatchdog()
    await start(job)
    entity.idle.complete()
    jobScheduled.wakeAll()
    wake()
  }

  /// An entity that has more to do goes to the queue of its priority now.
  private func requeue(_ entity: SchedulerEntity) {
    if entity.jobs.isEmpty || !queues[entity.priority.rawValue].contains(entity) {
      remove(entity)
      if !entity.jobs.isEmpty && !entity.isStopped { add(entity) }
    }
  }

  /// Runs a job, or ends it when it was cancelled.
  private func start(_ job: SchedulerJob) async {
    if job.finished?.error != nil {
      job.scheduled?.signal()
      done(job, nil)
      return
    }
    let fence: Fence?
    do throws(KernelError) {
      fence = try await backend.run(job)
    } catch {
      job.scheduled?.signal()
      done(job, error)
      return
    }
    // INVARIANT: whoever sees "scheduled" signalled finds the hardware's fence.
    job.parent = fence
    job.scheduled?.signal()
    watch(job)
  }

  /// Ends the job when its hardware fence signals.
  func watch(_ job: SchedulerJob) {
    guard let parent = job.parent else {
      done(job, nil)
      return
    }
    job.parentCallback = parent.addCallback { [unowned self, unowned job] fence in
      job.parentCallback = nil
      done(job, fence.error)
    }
    if job.parentCallback == nil { done(job, parent.error) }
  }

  /// LOCKING: may run under the hardware fence's lock, so freeing is put off to the work.
  func done(_ job: SchedulerJob, _ error: KernelError?) {
    creditsInUse -= job.credits
    score -= 1
    job.finish(error)
    if !isPaused { queue.queue(freeWork) }
  }

  private func freeNext() {
    note()
    guard !isPaused else { return }
    if let job = pending.first, job.finished?.isSignaled == true {
      pending.removeFirst()
      stopWatchdog()
      if !pending.isEmpty { startWatchdog() }
      release(job)
    }
    if pending.first?.finished?.isSignaledFlag == true { queue.queue(freeWork) }
    wake()
  }

  func release(_ job: SchedulerJob) {
    invariant(job.state != .over, "a job is freed twice")
    job.state = .over
    backend.free(job)
    job.dependencies = []
    job.scheduler = nil
  }

  // MARK: the watchdog

  func startWatchdog() {
    guard timeout != .max, !pending.isEmpty else { return }
    stopWatchdog()
    let agent =
      watchdogAgent
      ?? kernel.agent("\(name) watchdog") { [weak self] in
        guard let self else { return }
        timeoutQueue.queue(timeoutWork)
      }
    watchdogAgent = agent
    watchdog = agent.kick(after: timeout)
  }

  func stopWatchdog() {
    watchdog?.cancel()
    watchdog = nil
  }

  /// Has the watchdog look now, because an error interrupt came (`drm_sched_fault`).
  public func fault() { timeoutQueue.queue(timeoutWork) }

  private func askAboutOldest() async {
    guard let job = pending.first else { return }
    // Off the list while the driver looks at it, so that nobody frees it.
    pending.removeFirst()
    let answer = await backend.timedOut(job)
    let isListed = pending.contains { $0 === job } || job.state == .over
    if answer == .stillRunning && !isListed {
      // It may have ended while it was off the list: back it goes, and the freeing looks again.
      pending.insert(job, at: 0)
      queue.queue(freeWork)
    } else if !isListed {
      // The driver ended it itself and started nothing again: free it when its fence is done.
      if job.finished?.isSignaledFlag == true {
        release(job)
      } else {
        pending.insert(job, at: 0)
      }
    }
    if answer != .noDevice { startWatchdog() }
  }

  // MARK: pausing and the end

  func pauseWorks() async {
    note()
    isPaused = true
    await queue.cancel(runWork)
    await queue.cancel(freeWork)
  }

  func resumeWorks() {
    note()
    isPaused = false
    queue.queue(runWork)
    queue.queue(freeWork)
  }

  /// Ends the scheduler (`drm_sched_fini`): jobs on the hardware are cancelled through the driver
  /// and freed, queued ones finish with `ECANCELED`; nothing is left whose fence is open.
  public func teardown() async {
    await pauseWorks()
    stopWatchdog()
    watchdogAgent?.retire()
    await timeoutQueue.cancel(timeoutWork)
    for job in pending {
      if job.finished?.isSignaledFlag == false {
        backend.cancel(job)
        if let parent = job.parent, let callback = job.parentCallback {
          parent.removeCallback(callback)
        }
        if job.finished?.isSignaledFlag == false { done(job, job.parent?.error ?? .ECANCELED) }
      }
      release(job)
    }
    pending = []
    note()
    for queue in queues {
      for entity in queue.entities { cancelJobs(of: entity) }
    }
    queues = SchedulerPriority.allCases.map { _ in RunQueue() }
    isReady = false
    jobScheduled.wakeAll()
  }

  private func cancelJobs(of entity: SchedulerEntity) {
    entity.note()
    entity.isStopped = true
    let jobs = entity.jobs
    entity.jobs = []
    for job in jobs {
      score -= 1
      job.scheduled?.signal()
      job.finish(.ECANCELED)
      release(job)
    }
  }
}
