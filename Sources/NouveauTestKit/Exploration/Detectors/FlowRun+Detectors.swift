import Base
import KernelRuntime

extension FlowRun {
  /// Turns the end of a run before its end into offences by name.
  static func diagnose(
    _ failure: RunFailure, canSignal: ((UInt64, UInt64) -> Bool)?
  ) -> [Offence] {
    switch failure {
    case .stepLimit(let steps, let running):
      return [
        Offence(
          name: "live-lock",
          detail: "no progress within \(steps) steps; \(running) was next")
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

  /// Asks, each time that nothing can run, whether every fence that is waited for still has
  /// somebody to signal it; a wait that only its time-out can end is an offence, once for each
  /// fence.
  func watchFences() {
    for kernel in attached {
      kernel.quietObserver = { [unowned self, unowned kernel] in
        guard let fenceSignaller else { return }
        for task in kernel.blockedTasks() {
          guard case .fence(let context, let seqno) = task.reason else { continue }
          if fenceSignaller(context, seqno) { continue }
          let offence = Offence(
            name: "fence.nobody-signals",
            detail: "\(task.name) waits for fence \(context):\(seqno), which nobody can signal")
          if !offences.contains(offence) { offences.append(offence) }
        }
      }
    }
  }
}
