import Base
import DequeModule

/// A lock held by one writer or many readers (`struct rw_semaphore`).
///
/// A waiting writer keeps new readers out, as Linux's does; so a task that reads twice can deadlock
/// with a writer between, and the checks call that recursion.
public final class ReadWriteLock {
  public let lockClass: LockClass
  private let kernel: Kernel
  private let record: HeldLock
  private var instance: Int { record.instance }
  private var writer: KernelTask?
  private var readers: [KernelTask] = []
  private var waiters: Deque<(task: KernelTask, writes: Bool)> = []

  public init(_ kernel: Kernel, _ lockClass: LockClass) {
    self.kernel = kernel
    self.lockClass = lockClass
    record = kernel.lockChecks.register(lockClass)
  }

  private var sharedRecord: HeldLock {
    var shared = record
    shared.isShared = true
    return shared
  }

  /// Takes the lock for reading (`down_read`).
  public func lockShared() async {
    await kernel.point()
    kernel.touch(.lock(instance))
    let me = kernel.requireTask("\(lockClass.name).lockShared")
    kernel.lockChecks.willTake(sharedRecord, me, isTry: false)
    var hasSlept = false
    while writer != nil || (!hasSlept && waiters.contains { $0.writes }) {
      waiters.append((me, false))
      me.waitingLock = instance
      await kernel.block(.lock(lockClass, owner: holderName))
      me.waitingLock = nil
      kernel.touch(.lock(instance))
      hasSlept = true
    }
    readers.append(me)
    kernel.lockChecks.didTake(sharedRecord, me)
  }

  /// Takes the lock for reading if that needs no sleep (`down_read_trylock`).
  public func tryLockShared() -> Bool {
    let me = kernel.requireTask("\(lockClass.name).tryLockShared")
    kernel.touch(.lock(instance))
    guard writer == nil && !waiters.contains(where: { $0.writes }) else { return false }
    kernel.lockChecks.willTake(sharedRecord, me, isTry: true)
    readers.append(me)
    kernel.lockChecks.didTake(sharedRecord, me)
    return true
  }

  /// Takes the lock for writing (`down_write`).
  public func lock() async {
    await kernel.point()
    kernel.touch(.lock(instance))
    let me = kernel.requireTask("\(lockClass.name).lock")
    kernel.lockChecks.willTake(record, me, isTry: false)
    while writer != nil || !readers.isEmpty {
      waiters.append((me, true))
      me.waitingLock = instance
      await kernel.block(.lock(lockClass, owner: holderName))
      me.waitingLock = nil
      kernel.touch(.lock(instance))
    }
    writer = me
    kernel.lockChecks.didTake(record, me)
  }

  /// Leaves a lock taken with ``lockShared()``.
  public func unlockShared() {
    let me = kernel.requireTask("\(lockClass.name).unlockShared")
    kernel.touch(.lock(instance))
    guard let index = readers.lastIndex(where: { $0 === me }) else {
      invariantFailed("\(me.name) leaves \(lockClass.name), which it doesn't read")
    }
    readers.remove(at: index)
    kernel.lockChecks.willLeave(record, me)
    if readers.isEmpty { wakeNext() }
  }

  /// Leaves a lock taken with ``lock()``.
  public func unlock() {
    let me = kernel.requireTask("\(lockClass.name).unlock")
    kernel.touch(.lock(instance))
    invariant(writer === me, "\(me.name) leaves \(lockClass.name) of \(writer?.name ?? "nobody")")
    kernel.lockChecks.willLeave(record, me)
    writer = nil
    wakeNext()
  }

  /// Runs `body` with the lock held for reading.
  public func withSharedLock<T, E: Error>(_ body: () async throws(E) -> T) async throws(E) -> T {
    await lockShared()
    do throws(E) {
      let result = try await body()
      unlockShared()
      return result
    } catch {
      unlockShared()
      throw error
    }
  }

  /// Runs `body` with the lock held for writing.
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

  /// Whether the running task holds the lock for writing.
  public var isHeldByCurrent: Bool { writer != nil && writer === kernel.currentTask }
  /// Whether the running task holds the lock in either way (`mmap_assert_locked`).
  public var isHeldOrSharedByCurrent: Bool {
    isHeldByCurrent || readers.contains { $0 === kernel.currentTask }
  }

  private var holderName: String? { writer?.name ?? readers.first?.name }

  /// Wakes the oldest waiter, and with a reader all readers up to the next writer.
  private func wakeNext() {
    guard let first = waiters.popFirst() else { return }
    kernel.wake(first.task)
    guard !first.writes else { return }
    while let next = waiters.first, !next.writes {
      waiters.removeFirst()
      kernel.wake(next.task)
    }
  }
}
