import Base

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
    /// An allocation that may sleep, in an interrupt or a fence's callback.
    case atomic
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
  /// The classes of locks that exist, by ``HeldLock/place``.
  private var classes: [LockClass] = []
  /// By place, one bit for each place whose locks are known to be taken under it: what has been
  /// learned once costs a test of one bit.
  private var known = InlineArray<64, UInt64>(repeating: 0)
  /// By place, one bit for each node that is no lock and is known to be waited for under it.
  private var knownNodes = InlineArray<64, UInt64>(repeating: 0)
  var graph = DependencyGraph.initial
  /// Which lock was taken while which other was held, by class, with who was first seen to.
  public var observedOrder: [(from: String, to: String, witness: String)] { graph.lockEdges }
  /// What was seen to wait for what, locks, fences (`dma_fence`), reclaim and notifiers alike, with
  /// who was first seen to.
  public var observedDependencies: [(from: String, to: String, witness: String)] {
    graph.shownEdges
  }

  public init() {}

  func takeInstance() -> Int {
    defer { instances += 1 }
    return instances
  }

  /// Numbers a new lock.
  func register(_ lockClass: LockClass) -> HeldLock {
    let existing = classes.firstIndex { $0.rank == lockClass.rank && $0 == lockClass }
    if existing == nil {
      invariant(
        classes.count < DependencyGraph.Node.limit, "more classes of locks than can be checked")
      classes.append(lockClass)
    }
    return HeldLock(
      instance: takeInstance(), place: existing ?? classes.count - 1, rank: lockClass.rank,
      nests: lockClass.nests)
  }

  func lockClass(of lock: HeldLock) -> LockClass { classes[lock.place] }

  /// Whether nothing is to be learned from `lock` being taken under `held`.
  @inline(__always)
  func isKnown(_ held: HeldLock, _ lock: HeldLock) -> Bool {
    held.place == lock.place || known[held.place] >> UInt64(lock.place) & 1 != 0
  }

  /// Whether it is known that `node` is waited for under `held`; it is from now on.
  @inline(__always)
  func knewBefore(_ held: HeldLock, _ node: Int) -> Bool {
    let bit: UInt64 = 1 << UInt64(node)
    if knownNodes[held.place] & bit != 0 { return true }
    knownNodes[held.place] |= bit
    return false
  }

  func note(_ held: HeldLock, _ lock: HeldLock) { known[held.place] |= 1 << UInt64(lock.place) }

  /// LOCKING: called before the task sleeps on the lock, so that an inversion is found even in a
  /// run that doesn't deadlock.
  func willTake(_ lock: HeldLock, _ task: KernelTask, isTry: Bool) {
    let held = task.locks
    if held.isEmpty && task.sections == 0 { return }
    if !isTry { learnLock(lock, held, task) }
    for other in held {
      if other.instance == lock.instance {
        add(.recursion, lock, task)
        return
      }
      if isTry { continue }
      if other.place == lock.place ? !lock.nests : other.rank >= lock.rank {
        add(.order, lock, task)
        return
      }
    }
  }

  @inline(__always)
  func didTake(_ lock: HeldLock, _ task: KernelTask) { task.locks.append(lock) }

  func willLeave(_ lock: HeldLock, _ task: KernelTask) {
    // Locks are nearly always left in the reverse order, so the newest is looked at first.
    if task.locks.last?.instance == lock.instance {
      task.locks.removeLast()
      return
    }
    if let index = task.locks.lastIndex(where: { $0.instance == lock.instance }) {
      task.locks.remove(at: index)
    } else {
      add(.notHeld, lock, task)
    }
  }

  func taskEnds(_ task: KernelTask) {
    for held in task.locks { add(.heldAtEnd, held, task) }
  }

  func report(_ rule: LockOffence.Rule, _ task: KernelTask, _ chain: [String]) {
    report(rule, task.name, chain, holding: task.locks.map { lockClass(of: $0).name })
  }

  func report(_ rule: LockOffence.Rule, _ task: String, _ chain: [String], holding: [String]) {
    var offence = LockOffence(rule: rule, task: task, taking: "", holding: holding)
    offence.chain = chain
    // One report a circle: a loop that repeats the offence adds nothing.
    if !offences.contains(offence) { offences.append(offence) }
  }

  private func add(_ rule: LockOffence.Rule, _ lock: HeldLock, _ task: KernelTask) {
    offences.append(
      LockOffence(
        rule: rule, task: task.name, taking: lockClass(of: lock).name,
        holding: task.locks.map { lockClass(of: $0).name }))
  }
}
