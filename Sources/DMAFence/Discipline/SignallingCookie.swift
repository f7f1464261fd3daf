import Base
import KernelRuntime

/// An open signalling section; closed exactly once, by the task that opened it.
public struct SignallingCookie: ~Copyable {
  private let task: KernelTask?

  init(task: KernelTask?) { self.task = task }

  consuming func close(_ current: KernelTask?) {
    guard let task else { return }
    invariant(task === current, "\(task.name)'s signalling section is closed by another task")
    task.endSignalling()
  }
}
