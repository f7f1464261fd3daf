import Base
import DequeModule

/// A lock that a task sleeps for (`struct mutex`).
public final class SleepingLock {
  public let lockClass: LockClass
  private let kernel: Kernel
  private let record: HeldLock
  private var instance: Int { record.instance }
  private var holder: KernelTask?
  private var waiters: Deque<KernelTask> = []

  public init(_ kernel: Kernel, _ lockClass: LockClass) {
    self.kernel = kernel
    self.lockClass = lockClass
    record = kernel.lockChecks.register(lockClass)
  }

  /// The task that has the lock.
  public var owner: KernelTask? { holder }

  /// Takes the lock, sleeping while another task holds it.
  public func lock() async {
    await kernel.point()
    kernel.touch(.lock(instance))
    let me = kernel.requireTask("\(lockClass.name).lock")
    kernel.lockChecks.willTake(record, me, isTry: false)
    while let other = holder {
      waiters.append(me)
      me.waitingLock = instance
      await kernel.block(.lock(lockClass, owner: other.name))
      me.waitingLock = nil
      kernel.touch(.lock(instance))
    }
    holder = me
    kernel.lockChecks.didTake(record, me)
  }

  /// Takes the lock if it is free; never sleeps.
  public func tryLock() -> Bool {
    let me = kernel.requireTask("\(lockClass.name).tryLock")
    kernel.touch(.lock(instance))
    guard holder == nil else { return false }
    kernel.lockChecks.willTake(record, me, isTry: true)
    holder = me
    kernel.lockChecks.didTake(record, me)
    return true
  }

  /// Leaves the lock; only its owner may.
  public func unlock() {
    let me = kernel.requireTask("\(lockClass.name).unlock")
    kernel.touch(.lock(instance))
    invariant(holder === me, "\(me.name) unlocks \(lockClass.name) of \(holder?.name ?? "nobody")")
    kernel.lockChecks.willLeave(record, me)
    holder = nil
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
  public var isHeldByCurrent: Bool { holder != nil && holder === kernel.currentTask }
}
