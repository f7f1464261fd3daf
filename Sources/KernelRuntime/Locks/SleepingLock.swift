import Base
import DequeModule

/// A lock that a task sleeps for (`struct mutex`).
public final class SleepingLock {
  public let lockClass: LockClass
  private unowned let kernel: Kernel
  private let instance: Int
  /// The holder.
  public private(set) var owner: KernelTask?
  private var waiters: Deque<KernelTask> = []

  public init(_ kernel: Kernel, _ lockClass: LockClass) {
    self.kernel = kernel
    self.lockClass = lockClass
    instance = kernel.lockChecks.takeInstance()
  }

  private var record: HeldLock {
    HeldLock(lockClass: lockClass, instance: instance, isShared: false)
  }

  /// Takes the lock, sleeping while another task holds it.
  public func lock() async {
    let kernel = kernel
    await kernel.point()
    kernel.touch(.lock(instance))
    let me = kernel.requireTask("\(lockClass.name).lock")
    kernel.lockChecks.willTake(record, me, isTry: false)
    while let holder = owner {
      waiters.append(me)
      me.waitingLock = instance
      await kernel.block(.lock(lockClass, owner: holder.name))
      me.waitingLock = nil
      kernel.touch(.lock(instance))
    }
    owner = me
    kernel.lockChecks.didTake(record, me)
  }

  /// Takes the lock if it is free; never sleeps.
  public func tryLock() -> Bool {
    let me = kernel.requireTask("\(lockClass.name).tryLock")
    kernel.touch(.lock(instance))
    guard owner == nil else { return false }
    kernel.lockChecks.willTake(record, me, isTry: true)
    owner = me
    kernel.lockChecks.didTake(record, me)
    return true
  }

  /// Leaves the lock; only its owner may.
  public func unlock() {
    let kernel = kernel
    let me = kernel.requireTask("\(lockClass.name).unlock")
    kernel.touch(.lock(instance))
    invariant(owner === me, "\(me.name) unlocks \(lockClass.name) of \(owner?.name ?? "nobody")")
    kernel.lockChecks.willLeave(lockClass, instance, me)
    owner = nil
    if let next = waiters.popFirst() { kernel.wake(next) }
  }

  /// Runs `body` with the lock held; leaves it on every path.
  public func withLock<T, E: Error>(_ body: () async throws(E) -> T) async throws(E) -> T {
    await lock()
    do throws(E) {
      let result = try await body()
      unlock()
      return result
    } catch {
      unlock()
      throw error
    }
  }

  /// Whether the running task holds the lock (`lockdep_assert_held`).
  public var isHeldByCurrent: Bool { owner != nil && owner === kernel.currentTask }
}
