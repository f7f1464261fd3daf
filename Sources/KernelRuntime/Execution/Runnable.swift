import Base

/// Something that the scheduler can run: a ``KernelTask`` that may sleep, or an ``Agent`` that may
/// not.
public class Runnable {
  /// Numbered in order of creation within one kernel; the same in every run of the same flow.
  public let id: Int
  /// What the trace and the reports call it.
  public let name: String
  /// Its row in the trace.
  public let row: TraceRow

  unowned let kernel: Kernel
  /// Whether it stands in the ready list.
  final var isReady = false
  /// Since when, in nanoseconds of virtual time.
  final var readySince: UInt64 = 0

  init(kernel: Kernel, id: Int, name: String, row: TraceRow) {
    self.kernel = kernel
    self.id = id
    self.name = name
    self.row = row
  }

  /// The runnable as a task; cheaper than a cast, which every scheduling point would need.
  var asTask: KernelTask? { nil }

  /// Runs one step.
  func dispatch() { invariantFailed("\(name) is no task and no agent") }
}

/// A thread of the modelled kernel: it may sleep, hold sleeping locks and take page faults.
@safe
public final class KernelTask: Runnable {
  enum Phase {
    case new(() async -> Void)
    case live
    case finished
  }

  final var phase: Phase
  final var continuation: UnsafeContinuation<Void, Never>?
  /// Counts sleeps, so that a late timer can't end a later sleep.
  final var sleepCount: UInt64 = 0
  /// What the task sleeps on; nil while it runs or is ready.
  public var waitingFor: WaitReason? { reason }
  final var reason: WaitReason?
  /// The sleeping locks that it holds, oldest first.
  public var heldLocks: [HeldLock] { locks }
  final var locks: [HeldLock] = []
  /// Depth of sections in which it may not sleep.
  package final var atomicDepth = 0
  /// What it runs for the memory management, innermost last; see ``CheckedContext``.
  final var contexts: [Int] = []
  /// Contexts and signalling sections that it is in: none, nearly always, and one word to look at.
  final var sections = 0
  /// The lock that it sleeps on, by ``HeldLock/instance``.
  final var waitingLock: Int?
  /// Tasks that wait for its end.
  final var joiners: [KernelTask] = []
  /// A signal was sent that no interruptible sleep has seen (`signal_pending`).
  public var hasSignalPending: Bool {
    kernel.touch(.runnable(id), writing: false)
    return wasInterrupted
  }
  private var wasInterrupted = false
  /// The sleep in progress ends when a signal comes.
  package var sleepsInterruptibly = false
  /// Nesting depth of fence-signalling sections; a section may not sleep on a fence.
  public var signallingDepth: Int { signallingSections }
  private var signallingSections = 0

  /// Opens a fence-signalling section.
  package func beginSignalling() {
    signallingSections += 1
    sections += 1
  }

  /// Closes a fence-signalling section.
  package func endSignalling() {
    invariant(signallingSections > 0, "\(name) closes a signalling section twice")
    signallingSections -= 1
    sections -= 1
  }

  init(kernel: Kernel, id: Int, name: String, row: TraceRow, body: @escaping () async -> Void) {
    phase = .new(body)
    super.init(kernel: kernel, id: id, name: name, row: row)
  }

  override var asTask: KernelTask? { self }
  override func dispatch() { kernel.resume(self) }

  /// Whether the body has returned.
  public var isFinished: Bool {
    if case .finished = phase { return true }
    return false
  }

  /// Sends a signal to the task: an interruptible sleep ends, now or when it begins.
  public func interrupt() {
    kernel.touch(.runnable(id))
    wasInterrupted = true
    if sleepsInterruptibly { kernel.wake(self) }
  }

  /// Forgets a signal that came; what the return to user space does.
  public func clearSignal() { wasInterrupted = false }

  /// Sleeps until the task has ended.
  public func join() async {
    await kernel.point()
    kernel.touch(.runnable(id), writing: false)
    while !isFinished {
      let me = kernel.requireTask("join")
      joiners.append(me)
      await kernel.block(.join(task: name))
    }
  }
}

/// A step that runs to its end without sleeping: an interrupt handler, a timer, a device's engine.
public final class Agent: Runnable {
  private let step: () -> Void
  private var hasRetired = false
  /// Set once the agent is retired; a retired agent never runs again.
  public var isRetired: Bool { hasRetired }

  init(kernel: Kernel, id: Int, name: String, row: TraceRow, step: @escaping () -> Void) {
    self.step = step
    super.init(kernel: kernel, id: id, name: name, row: row)
  }

  /// Makes the agent ready now; kicking a ready agent again changes nothing.
  public func kick() {
    guard !hasRetired else { return }
    let kernel = kernel
    kernel.touch(.runnable(id))
    kernel.makeReady(self)
  }

  /// As ``kick()``, from the kernel itself.
  @inline(__always)
  func kick(by kernel: Kernel) {
    guard !hasRetired else { return }
    kernel.touch(.runnable(id))
    kernel.makeReady(self)
  }

  /// Makes the agent ready when `delay` nanoseconds have passed.
  @discardableResult
  public func kick(after delay: UInt64) -> TimerHandle {
    kernel.addTimer(after: delay, .agent(self))
  }

  /// Stops the agent for good; pending kicks are forgotten.
  public func retire() { hasRetired = true }

  override func dispatch() {
    if !hasRetired { step() }
  }
}

/// What a task sleeps on, for reports of hangs.
public enum WaitReason: Hashable, Sendable, CustomStringConvertible {
  /// A sleeping lock, with the name of the task that holds it.
  case lock(LockClass, owner: String?)
  /// A named wait queue.
  case queue(String)
  /// Time to pass.
  case sleep(until: UInt64)
  /// Another task's end.
  case join(task: String)
  /// A page's lock bit.
  case pageLock(pfn: UInt64)
  /// A fence, by context and sequence number.
  case fence(context: UInt64, seqno: UInt64)

  public var description: String {
    switch self {
    case .lock(let lock, let owner): "\(lock.name), held by \(owner ?? "nobody")"
    case .queue(let name): name
    case .sleep(let until): "time \(until) ns"
    case .join(let task): "the end of \(task)"
    case .pageLock(let pfn): "the lock of page 0x" + String(pfn, radix: 16)
    case .fence(let context, let seqno): "fence \(context):\(seqno)"
    }
  }
}
