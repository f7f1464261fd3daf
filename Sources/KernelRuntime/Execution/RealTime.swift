import Dispatch
import Synchronization

/// The host's monotonic clock, from the moment the kernel was made. Real-time mode only.
struct WallClock {
  private let start = DispatchTime.now().uptimeNanoseconds
  var elapsed: UInt64 { DispatchTime.now().uptimeNanoseconds &- start }
}

/// Where worker threads leave word that a job is done; the only way into a kernel from outside.
final class Inbox: Sendable {
  private struct State {
    /// Jobs that no worker has taken yet, oldest first.
    var waiting: [Job] = []
    /// Workers that look for a job.
    var lookers = 0
    /// Jobs handed in and not yet done.
    var outstanding = 0
    var finished: [AgentReference] = []
  }

  private struct Job: Sendable {
    let work: @Sendable () -> Void
    let agent: AgentReference
  }

  private struct AgentReference: @unchecked Sendable {
    // Sendable is claimed by hand: the worker only carries the reference back; the driving thread
    // alone uses the agent.
    let agent: Agent
  }

  private let state = Mutex(State())
  /// Counts of `waiting` and `finished`, to be looked at without the lock.
  private let waitingCount = Atomic(0)
  private let finishedCount = Atomic(0)
  private let signal = DispatchSemaphore(value: 0)
  private let workers = DispatchQueue(
    label: "copy-engines", qos: .userInitiated, attributes: .concurrent)

  /// How long a thread looks for news before it sleeps, in nanoseconds: waking it takes tens of
  /// microseconds, in which a copy engine would stand still.
  private static let looking: UInt64 = 200_000

  /// Whether no job is outstanding and none waits to be taken.
  var isIdle: Bool { state.withLock { $0.outstanding == 0 && $0.finished.isEmpty } }

  /// Runs `work` on a worker thread and kicks `agent` on the kernel's thread afterwards.
  func submit(_ work: @escaping @Sendable () -> Void, then agent: Agent) {
    let job = Job(work: work, agent: AgentReference(agent: agent))
    let needsWorker = state.withLock { state in
      state.outstanding += 1
      state.waiting.append(job)
      waitingCount.store(state.waiting.count, ordering: .releasing)
      return state.waiting.count > state.lookers
    }
    if needsWorker { workers.async { [self] in serve() } }
  }

  /// A worker's life: jobs until none has come for a while.
  private func serve() {
    while let job = nextJob() {
      job.work()
      state.withLock { state in
        state.outstanding -= 1
        state.finished.append(job.agent)
        finishedCount.store(state.finished.count, ordering: .releasing)
      }
      signal.signal()
    }
  }

  private func nextJob() -> Job? {
    let first = state.withLock { state -> Job? in
      let job = takeJob(&state)
      if job == nil { state.lookers += 1 }
      return job
    }
    if let first { return first }
    look(until: DispatchTime.now().uptimeNanoseconds &+ Self.looking) {
      waitingCount.load(ordering: .acquiring) > 0
    }
    // Leaving and the last look are one step, so that a job can't come between unseen.
    return state.withLock { state in
      state.lookers -= 1
      return takeJob(&state)
    }
  }

  private func takeJob(_ state: inout State) -> Job? {
    guard !state.waiting.isEmpty else { return nil }
    let job = state.waiting.removeFirst()
    waitingCount.store(state.waiting.count, ordering: .releasing)
    return job
  }

  private func look(until deadline: UInt64, for news: () -> Bool) {
    while !news() && DispatchTime.now().uptimeNanoseconds < deadline {}
  }

  func take() -> [Agent] {
    guard finishedCount.load(ordering: .acquiring) > 0 else { return [] }
    return state.withLock { state in
      defer { state.finished.removeAll(keepingCapacity: true) }
      finishedCount.store(0, ordering: .releasing)
      return state.finished.map(\.agent)
    }
  }

  /// Blocks the thread until a job is done or the time has passed.
  func wait(nanoseconds: UInt64?) {
    let start = DispatchTime.now().uptimeNanoseconds
    look(until: start &+ min(nanoseconds ?? .max, Self.looking)) {
      finishedCount.load(ordering: .acquiring) > 0
    }
    if finishedCount.load(ordering: .acquiring) > 0 { return }
    guard let nanoseconds else {
      signal.wait()
      return
    }
    let whole = Int(clamping: min(nanoseconds, 3_600_000_000_000))
    _ = signal.wait(timeout: .now() + .nanoseconds(whole))
  }
}
