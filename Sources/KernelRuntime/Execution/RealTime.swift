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
    var outstanding = 0
    var finished: [AgentReference] = []
  }

  private struct AgentReference: @unchecked Sendable {
    // Sendable is claimed by hand: the worker only carries the reference back; the driving thread
    // alone uses the agent.
    let agent: Agent
  }

  private let state = Mutex(State())
  private let signal = DispatchSemaphore(value: 0)
  private let workers = DispatchQueue(
    label: "copy-engines", qos: .userInitiated, attributes: .concurrent)

  /// Whether no job is outstanding and none waits to be taken.
  var isIdle: Bool { state.withLock { $0.outstanding == 0 && $0.finished.isEmpty } }

  /// Runs `work` on a worker thread and kicks `agent` on the kernel's thread afterwards.
  func submit(_ work: @escaping @Sendable () -> Void, then agent: Agent) {
    let reference = AgentReference(agent: agent)
    state.withLock { $0.outstanding += 1 }
    workers.async { [self] in
      work()
      state.withLock {
        $0.outstanding -= 1
        $0.finished.append(reference)
      }
      signal.signal()
    }
  }

  func take() -> [Agent] {
    state.withLock { state in
      guard !state.finished.isEmpty else { return [] }
      defer { state.finished.removeAll(keepingCapacity: true) }
      return state.finished.map(\.agent)
    }
  }

  /// Blocks the thread until a job is done or the time has passed.
  func wait(nanoseconds: UInt64?) {
    // A thread that blocks is expensive to wake, so look for a while first.
    let spinUntil = DispatchTime.now().uptimeNanoseconds &+ min(nanoseconds ?? .max, 50_000)
    while DispatchTime.now().uptimeNanoseconds < spinUntil {
      if state.withLock({ !$0.finished.isEmpty }) { return }
    }
    guard let nanoseconds else {
      signal.wait()
      return
    }
    let whole = Int(clamping: min(nanoseconds, 3_600_000_000_000))
    _ = signal.wait(timeout: .now() + .nanoseconds(whole))
  }
}
