public import Base
public import KernelRuntime

/// An interrupt from a device to a driver's handler, which runs in atomic context.
///
/// Edge semantics, as MSI: each message runs the handler once; messages that arrive while one is
/// pending merge with it.
public final class InterruptLine {
  public let name: String
  private unowned let kernel: Kernel
  private var agent: Agent?
  /// Messages raised since the line was made.
  public private(set) var raised: UInt64 = 0
  /// Messages that found no handler.
  public private(set) var unhandled: UInt64 = 0

  public init(_ kernel: Kernel, _ name: String) {
    self.kernel = kernel
    self.name = name
  }

  /// Installs the handler (`request_irq`); `EBUSY` when one is installed.
  public func request(_ handler: @escaping () -> Void) throws(KernelError) {
    guard agent == nil else { throw .EBUSY }
    agent = kernel.agent("irq \(name)", step: handler)
  }

  /// Removes the handler (`free_irq`); messages under way are dropped.
  public func free() {
    agent?.retire()
    agent = nil
  }

  /// Sends a message that reaches the handler `latency` nanoseconds from now.
  public func raise(latency: UInt64 = 0) {
    raised += 1
    guard let agent else {
      unhandled += 1
      return
    }
    if latency == 0 { agent.kick() } else { agent.kick(after: latency) }
  }
}
