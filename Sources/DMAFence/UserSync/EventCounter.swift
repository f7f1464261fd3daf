public import KernelRuntime

/// A counter that wakes readers (`eventfd`).
public final class EventCounter {
  public var count: UInt64 {
    queue.note(writing: false)
    return events
  }
  private var events: UInt64 = 0
  private let queue: WaitQueue

  public init(_ kernel: Kernel, _ name: String = "eventfd") { queue = WaitQueue(kernel, name) }

  /// Adds one (`eventfd_signal`); may be called in atomic context.
  public func signal() {
    events += 1
    queue.wakeAll()
  }

  /// Sleeps until the counter isn't 0, for at most `timeout` nanoseconds; takes what it counts.
  public func read(timeout: UInt64 = .max) async -> UInt64? {
    guard await queue.wait(timeout: timeout, until: { events > 0 }) else { return nil }
    queue.note()
    defer { events = 0 }
    return events
  }
}
