public import Base
import KernelRuntime

/// Goes over the pending fences of a reservation without its lock (`struct dma_resv_iter`).
///
/// When the list is replaced under it, it begins again and says so: the caller drops what he
/// collected.
public struct ReservationCursor {
  private let object: Reservation
  private let usage: ReservationUsage
  private var list: Reservation.List
  private var index = 0
  /// The call of ``next()`` that returned last began a round (`dma_resv_iter_is_restarted`).
  public private(set) var isRestarted = true
  /// What the fence returned last does.
  public private(set) var fenceUsage = ReservationUsage.kernel

  init(_ object: Reservation, _ usage: ReservationUsage) {
    self.object = object
    self.usage = usage
    list = object.list
  }

  /// The next pending fence (`dma_resv_iter_next_unlocked`); nil at the end.
  public mutating func next() -> Fence? {
    var isFirst = index == 0
    while true {
      if list !== object.list {
        list = object.list
        index = 0
        isFirst = true
      }
      guard index < list.entries.count else {
        isRestarted = isFirst
        return nil
      }
      let entry = list.entries[index]
      index += 1
      // The peek may run callbacks; a list that they replaced is noticed above.
      if entry.usage <= usage && !entry.fence.isSignaled && list === object.list {
        isRestarted = isFirst
        fenceUsage = entry.usage
        return entry.fence
      }
    }
  }
}

extension Reservation {
  /// A cursor over the pending fences of `usage` and stronger.
  public func cursor(_ usage: ReservationUsage) -> ReservationCursor {
    ReservationCursor(self, usage)
  }

  /// The pending fences of `usage` and stronger at one moment (`dma_resv_get_fences`).
  public func fences(_ usage: ReservationUsage) -> [Fence] {
    var cursor = cursor(usage)
    var found: [Fence] = []
    repeat {
      let fence = cursor.next()
      if cursor.isRestarted { found.removeAll(keepingCapacity: true) }
      guard let fence else { return found }
      found.append(fence)
    } while true
  }

  /// One fence for all of them (`dma_resv_get_singleton`); nil when nothing is pending.
  public func singleton(_ usage: ReservationUsage) -> Fence? {
    let found = fences(usage)
    guard let first = found.first else { return nil }
    return found.count == 1 ? first : FenceArray(contexts, found)
  }

  /// Whether everything of `usage` and stronger is signalled (`dma_resv_test_signaled`).
  public func isSignaled(_ usage: ReservationUsage) -> Bool {
    var cursor = cursor(usage)
    return cursor.next() == nil
  }

  /// Sleeps until everything of `usage` and stronger is signalled (`dma_resv_wait_timeout`); throws
  /// `ERESTARTSYS` when a signal comes to an interruptible wait.
  public func wait(
    _ usage: ReservationUsage, timeout: UInt64 = .max, isInterruptible: Bool = false
  ) async throws(KernelError) -> FenceWait {
    var remaining = max(1, timeout)
    var cursor = cursor(usage)
    while let fence = cursor.next() {
      if timeout == 0 { return .timedOut }
      let ended =
        isInterruptible
        ? try await fence.waitInterruptible(timeout: remaining)
        : await fence.wait(timeout: remaining)
      guard case .signaled(let left) = ended else { return .timedOut }
      remaining = left
    }
    return .signaled(remaining: remaining)
  }

  /// Passes a deadline on to every pending fence (`dma_resv_set_deadline`).
  public func setDeadline(_ usage: ReservationUsage, _ time: UInt64) {
    var cursor = cursor(usage)
    while let fence = cursor.next() { fence.setDeadline(time) }
  }

  /// Takes over another object's pending fences (`dma_resv_copy_fences`); both locks are held.
  public func copyFences(from source: Reservation) {
    invariant(lock.isHeldByCurrent, "dma_resv_copy_fences without the reservation's lock")
    var entries: [Entry] = []
    var cursor = source.cursor(.bookkeep)
    repeat {
      let fence = cursor.next()
      if cursor.isRestarted { entries.removeAll() }
      guard let fence else { break }
      entries.append(Entry(fence: fence, usage: cursor.fenceUsage))
    } while true
    let copied = List(capacity: entries.count)
    copied.entries = entries
    list = copied
  }
}
