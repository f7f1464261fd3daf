import Base
import KernelRuntime

extension FlowRun {
  /// Turns the end of a run before its end into offences by name.
  static func diagnose(_ failure: RunFailure) -> [Offence] {
    switch failure {
    case .stepLimit(let steps, _):
      return [
        Offence(
          name: "live-lock",
          detail: "no progress within \(steps) steps; \(failure.runners)")
      ]
    case .deadlock(let tasks):
      return WaitGraph(tasks).offences
    }
  }

  /// What the runtime itself noticed: offences against the rules of locks, and tasks left asleep.
  func auditRuntime() {
    for kernel in attached where !kernel.lockChecks.offences.isEmpty {
      for offence in kernel.lockChecks.offences {
        offend("lock.\(offence.rule.rawValue)", offence.description)
      }
    }
  }

  /// Nobody works on a fence when nothing happens for this long, in nanoseconds: a device's own
  /// events come sooner, and what is due later is a look in case an interrupt was lost, or the end
  /// of somebody's patience.
  private static let silence: UInt64 = 500_000

  /// Asks, each time that nothing can run and nothing is due soon, whether every fence that is
  /// waited for still has somebody to signal it; a wait that only its time-out can end is an
  /// offence, once for each fence.
  func watchFences() {
    for kernel in attached {
      kernel.quietObserver = { [unowned self, unowned kernel] in
        guard let fenceSignaller else { return }
        if let delay = kernel.nextTimerDelay, delay < Self.silence { return }
        kernel.forEachFenceWait { task, context, seqno in
          if fenceSignaller(context, seqno) { return }
          let offence = Offence(
            name: "fence.nobody-signals",
            detail: "\(task.name) waits for fence \(context):\(seqno), which nobody can signal")
          if !offences.contains(offence) { offences.append(offence) }
        }
      }
    }
  }
}
