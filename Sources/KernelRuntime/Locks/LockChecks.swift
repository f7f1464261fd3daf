/// An offence against the rules of locking, as ``LockChecks`` records it.
public struct LockOffence: Hashable, Sendable, CustomStringConvertible {
  public enum Rule: String, Sendable {
    /// A lock of lower or equal rank taken under one of higher rank.
    case order
    /// A lock taken again by the task that holds it.
    case recursion
    /// A task ended with a lock held.
    case heldAtEnd
    /// A lock released by a task that doesn't hold it.
    case notHeld
    /// A sleeping lock, a fence wait or an allocation that reclaims, in a section that a fence's
    /// signalling waits for.
    case signalling
    /// Locks, fences and reclaim that wait for each other in a circle.
    case cycle
  }
  public let rule: Rule
  public let task: String
  public let taking: String
  public let holding: [String]
  /// For ``Rule/signalling`` and ``Rule/cycle``: the circle, each step with who was seen there.
  public var chain: [String] = []

  public var description: String {
    if !chain.isEmpty { return "\(rule.rawValue): \(task): \(chain.joined(separator: ", "))" }
    return "lock \(rule.rawValue): \(task) takes or leaves \(taking)"
      + (holding.isEmpty ? "" : " while holding \(holding.joined(separator: ", "))")
  }
}

/// Checks ownership and order of sleeping locks at run time, in the manner of lockdep.
public final class LockChecks {
  /// What was found, oldest first.
  public private(set) var offences: [LockOffence] = []
  private var instances = 0
  lazy var graph = DependencyGraph.initial
  /// Which lock was taken while which other was held, by class, with who was first seen to.
  public var observedOrder: [(from: String, to: String, witness: String)] { graph.lockEdges }

  public init() {}

  func takeInstance() -> Int {
    defer { instances += 1 }
    return instances
  }

  /// LOCKING: called before the task sleeps on the lock, so that an inversion is found even in a run
  /// that doesn't deadlock.
  func willTake(_ lock: HeldLock, _ task: KernelTask, isTry: Bool) {
    if task.heldLocks.isEmpty && task.signallingDepth == 0 { return }
    if !isTry { learnLock(lock.lockClass, task) }
    for held in task.heldLocks {
      if held.instance == lock.instance {
        add(.recursion, lock, task)
        return
      }
      if isTry { continue }
      let sameClass = held.lockClass == lock.lockClass
      if sameClass ? !lock.lockClass.nests : held.lockClass.rank >= lock.lockClass.rank {
        add(.order, lock, task)
        return
      }
    }
  }

  func didTake(_ lock: HeldLock, _ task: KernelTask) { task.heldLocks.append(lock) }

  func willLeave(_ lockClass: LockClass, _ instance: Int, _ task: KernelTask) {
    // Locks are nearly always left in the reverse order, so the newest is looked at first.
    if task.heldLocks.last?.instance == instance {
      task.heldLocks.removeLast()
      return
    }
    if let index = task.heldLocks.lastIndex(where: { $0.instance == instance }) {
      task.heldLocks.remove(at: index)
    } else {
      add(.notHeld, HeldLock(lockClass: lockClass, instance: instance, isShared: false), task)
    }
  }

  func taskEnds(_ task: KernelTask) {
    for held in task.heldLocks { add(.heldAtEnd, held, task) }
  }

  func report(_ rule: LockOffence.Rule, _ task: KernelTask, _ chain: [String]) {
    var offence = LockOffence(
      rule: rule, task: task.name, taking: "", holding: task.heldLocks.map(\.lockClass.name))
    offence.chain = chain
    // One report a circle: a loop that repeats the offence adds nothing.
    if !offences.contains(offence) { offences.append(offence) }
  }

  private func add(_ rule: LockOffence.Rule, _ lock: HeldLock, _ task: KernelTask) {
    offences.append(
      LockOffence(
        rule: rule, task: task.name, taking: lock.lockClass.name,
        holding: task.heldLocks.map(\.lockClass.name)))
  }
}
