public import Base
import KernelRuntime

/// What a driver does for its scheduler (`struct drm_sched_backend_ops`).
public protocol SchedulerBackend: AnyObject {
  /// One more thing to wait for before the job may run (`prepare_job`); asked again until nil.
  func prepare(_ job: SchedulerJob) -> Fence?
  /// Hands the job to the hardware (`run_job`); gives the hardware's fence, or nil when the job is
  /// done already. An error ends the job with it.
  func run(_ job: SchedulerJob) async throws(KernelError) -> Fence?
  /// The oldest job took too long (`timedout_job`). The order is: stop, reset, resubmit, start.
  func timedOut(_ job: SchedulerJob) async -> SchedulerTimeout
  /// The job is over and its finished fence signalled (`free_job`); called once.
  func free(_ job: SchedulerJob)
  /// What the job costs now (`update_job_credits`); nil keeps what it was made with.
  func credits(of job: SchedulerJob) -> Int?
  /// The scheduler goes and the job is on the hardware (`cancel_job`): stop it and see that its
  /// hardware fence signals with an error.
  func cancel(_ job: SchedulerJob)
}

extension SchedulerBackend {
  public func prepare(_ job: SchedulerJob) -> Fence? { nil }
  public func credits(of job: SchedulerJob) -> Int? { nil }
  public func cancel(_ job: SchedulerJob) {}
}

/// A timeout handler's answer (`enum drm_gpu_sched_stat`).
public enum SchedulerTimeout: Hashable, Sendable {
  /// The device was reset, or will be; go on.
  case reset
  /// The device has gone; no timer is started again.
  case noDevice
  /// Nothing hangs: the job is merely slow and stays where it was.
  case stillRunning
}

/// Priorities, the first served before all later ones (`enum drm_sched_priority`).
public enum SchedulerPriority: Int, CaseIterable, Sendable {
  case kernel = 0
  case high = 1
  case normal = 2
  case low = 3
}

/// One piece of work for a scheduler (`struct drm_sched_job`): init, dependencies, arm, push.
public final class SchedulerJob {
  enum State {
    case initialized
    case armed
    case queued
    /// On the hardware, in the scheduler's pending list.
    case running
    case over
  }

  /// The queue it was made for; nil once it is on the hardware, for it must not be used then.
  public internal(set) weak var entity: SchedulerEntity?
  /// Where it runs; nil until armed.
  public internal(set) var scheduler: JobScheduler?
  /// Its share of the hardware's ring.
  public internal(set) var credits: Int
  /// For the driver.
  public let tag: UInt64
  /// How often it was blamed for a hang.
  public internal(set) var karma = 0
  var dependencies: [Fence] = []
  /// The next dependency to wait for.
  var nextDependency = 0
  var state = State.initialized
  /// When it was pushed; the order of the FIFO policy.
  var submitted: (time: UInt64, order: UInt64) = (0, 0)
  /// Signalled when the job reaches the hardware. Made when armed.
  public internal(set) var scheduled: Fence?
  /// Signalled when the job is over. Made when armed.
  public internal(set) var finished: Fence?
  /// The hardware's fence. A deadline that was given before it was there is passed on to it
  /// (`drm_sched_fence_set_parent`).
  public internal(set) var parent: Fence? {
    didSet {
      let operations = finished?.operations as? JobFenceOperations
      if let parent, let deadline = operations?.deadline { parent.setDeadline(deadline) }
    }
  }
  var parentCallback: FenceCallback?

  /// Makes a job (`drm_sched_job_init`); `EINVAL` for no credits, `ENOENT` for an entity without a
  /// scheduler.
  public init(_ entity: SchedulerEntity, credits: Int = 1, tag: UInt64 = 0) throws(KernelError) {
    guard entity.scheduler != nil else { throw .ENOENT }
    guard credits > 0 else { throw .EINVAL }
    self.entity = entity
    self.credits = credits
    self.tag = tag
  }

  /// Has the job wait for `fence` (`drm_sched_job_add_dependency`). One fence of each context is
  /// kept, the latest. Passes `mm.kmalloc`.
  public func addDependency(_ fence: Fence) throws(KernelError) {
    invariant(state == .initialized, "a dependency for a job that is armed")
    for (index, old) in dependencies.enumerated() where old.context == fence.context {
      if fence.isLater(than: old) { dependencies[index] = fence }
      return
    }
    try entity?.contexts.kernel.failures.check(.userCopyAlloc)
    dependencies.append(fence)
  }

  /// Has the job wait for a reservation's fences (`drm_sched_job_add_resv_dependencies`).
  public func addDependencies(
    of reservation: Reservation, _ usage: ReservationUsage
  ) throws(KernelError) {
    try reservation.forEach(usage) { (fence, _) throws(KernelError) in try addDependency(fence) }
  }

  /// Has the job wait for a sync object's point (`drm_sched_job_add_syncobj_dependency`).
  public func addDependency(_ object: SyncObject, at point: UInt64) throws(KernelError) {
    try addDependency(try object.fence(at: point))
  }

  /// Chooses where to run and makes the fences (`drm_sched_job_arm`): the point of no return.
  public func arm() {
    invariant(state == .initialized, "a job is armed twice")
    guard let entity else { invariantFailed("a job is armed after its entity has gone") }
    entity.selectScheduler()
    guard let scheduler = entity.scheduler else { invariantFailed("an entity without scheduler") }
    self.scheduler = scheduler
    entity.sequence += 1
    let operations = JobFenceOperations(scheduler.name, self)
    scheduled = Fence(
      scheduler.kernel, operations: operations, context: entity.context, seqno: entity.sequence)
    finished = Fence(
      scheduler.kernel, operations: operations, context: entity.context + 1,
      seqno: entity.sequence)
    state = .armed
  }

  /// Puts the job at the end of its entity's queue (`drm_sched_entity_push_job`).
  public func push() {
    invariant(state == .armed, "a job is pushed that isn't armed")
    guard let entity else { invariantFailed("a job is pushed after its entity has gone") }
    state = .queued
    entity.push(self)
  }

  /// Ends the job's fences; the scheduled one first, as it would have been.
  func finish(_ error: KernelError?) {
    if let error, let finished, !finished.isSignaledFlag, finished.error == nil {
      finished.setError(error)
    }
    finished?.signal()
  }
}

/// The two fences of a job. They know their job's hardware fence, not the job, once it is over.
final class JobFenceOperations: FenceOperations {
  let driverName = "drm_sched"
  let timelineName: String
  private weak var job: SchedulerJob?
  /// The nearest deadline asked of a job that isn't on the hardware yet.
  private(set) var deadline: UInt64?

  init(_ name: String, _ job: SchedulerJob) {
    timelineName = name
    self.job = job
  }

  /// The scheduler on which the job runs, for dependencies among its own jobs.
  var scheduler: JobScheduler? { job?.scheduler }
  var scheduled: Fence? { job?.scheduled }
  var finished: Fence? { job?.finished }

  /// Only the end of a job can be needed by a time, and only an earlier one changes anything
  /// (`drm_sched_fence_set_deadline_finished`).
  func setDeadline(_ fence: Fence, _ time: UInt64) {
    guard fence === finished, time < deadline ?? .max else { return }
    deadline = time
    job?.parent?.setDeadline(time)
  }
}
