import Base
import DMAFence
import KernelRuntime

/// A ring that runs jobs one after the other, for as long as each says; or until told, for a job of
/// duration nil.
final class MockRing: SchedulerBackend, FenceOperations {
  let driverName = "mock"
  let timelineName = "ring"
  let bench: Bench
  private let context: UInt64
  private var seqno: UInt64 = 0
  /// Jobs handed over, not done yet.
  private(set) var queue: [(job: UInt64, fence: Fence, duration: UInt64?)] = []
  /// Duration by tag; absent is "until told".
  var durations: [UInt64: UInt64] = [:]
  private(set) var ran: [UInt64] = []
  private(set) var freed: [UInt64] = []
  private(set) var timedOutTags: [UInt64] = []
  private(set) var cancelled: [UInt64] = []
  private(set) var deadlines: [UInt64] = []
  var onTimeout: ((SchedulerJob) async -> SchedulerTimeout)?
  var cost: ((SchedulerJob) -> Int?)?
  var extra: ((SchedulerJob) -> Fence?)?
  var runError: KernelError?
  private(set) var mostAtOnce = 0
  private var engine: Agent?

  init(_ bench: Bench) {
    self.bench = bench
    context = bench.contexts.allocate()
    engine = bench.kernel.agent("ring engine") { [unowned self] in completeNext() }
  }

  func run(_ job: SchedulerJob) async throws(KernelError) -> Fence? {
    await bench.kernel.point()
    note()
    ran.append(job.tag)
    if let runError { throw runError }
    seqno += 1
    let fence = Fence(bench.kernel, operations: self, context: context, seqno: seqno)
    queue.append((job.tag, fence, durations[job.tag]))
    mostAtOnce = max(mostAtOnce, queue.count)
    if queue.count == 1, let duration = durations[job.tag] { engine?.kick(after: duration) }
    return fence
  }

  /// The oldest job is done.
  func completeNext() {
    note()
    guard !queue.isEmpty else { return }
    let (_, fence, _) = queue.removeFirst()
    if let duration = queue.first?.duration { engine?.kick(after: duration) }
    fence.signal()
  }

  func timedOut(_ job: SchedulerJob) async -> SchedulerTimeout {
    note()
    timedOutTags.append(job.tag)
    return await onTimeout?(job) ?? .reset
  }

  func free(_ job: SchedulerJob) {
    note()
    freed.append(job.tag)
  }

  /// For orders that are left out as equivalent.
  private func note() { bench.kernel.touch(.data(1 << 32)) }

  func setDeadline(_ fence: Fence, _ time: UInt64) { deadlines.append(time) }
  func credits(of job: SchedulerJob) -> Int? { cost?(job) }
  func prepare(_ job: SchedulerJob) -> Fence? { extra?(job) }

  func cancel(_ job: SchedulerJob) {
    note()
    cancelled.append(job.tag)
    guard let index = queue.firstIndex(where: { $0.fence === job.parent }) else { return }
    let fence = queue.remove(at: index).fence
    fence.setError(.ECANCELED)
    fence.signal()
  }

  /// Forgets everything, as a reset does; hardware fences end with an error.
  func reset() {
    note()
    let lost = queue
    queue = []
    for (_, fence, _) in lost where !fence.isSignaledFlag {
      fence.setError(.ETIME)
      fence.signal()
    }
  }
}

/// A ring with its scheduler.
final class SchedulerBench {
  let bench: Bench
  let ring: MockRing
  let scheduler: JobScheduler

  init(
    _ bench: Bench, credits: Int = 1000, timeout: UInt64 = .max,
    policy: JobScheduler.Policy = .fifo
  ) {
    self.bench = bench
    ring = MockRing(bench)
    scheduler = JobScheduler(
      bench.kernel, "mock", ring, creditLimit: credits, timeout: timeout, policy: policy)
  }

  func entity(_ priority: SchedulerPriority = .normal) -> SchedulerEntity {
    SchedulerEntity(bench.contexts, [scheduler], priority: priority)
  }

  /// Makes, arms and pushes a job; nil duration means "until told".
  @discardableResult
  func submit(
    _ entity: SchedulerEntity, _ tag: UInt64, duration: UInt64? = nil, credits: Int = 1,
    after dependencies: [Fence] = []
  ) throws(KernelError) -> SchedulerJob {
    ring.durations[tag] = duration
    let job = try SchedulerJob(entity, credits: credits, tag: tag)
    for fence in dependencies { try job.addDependency(fence) }
    job.arm()
    job.push()
    return job
  }

  func end(_ entities: [SchedulerEntity] = []) async {
    for entity in entities { await entity.kill() }
    await scheduler.teardown()
  }
}

/// Fences outlive jobs; a job's own goes with its scheduler.
func finished(_ job: SchedulerJob) throws -> Fence {
  guard let fence = job.finished else { throw Broken(description: "job \(job.tag) has no fence") }
  return fence
}

let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000
