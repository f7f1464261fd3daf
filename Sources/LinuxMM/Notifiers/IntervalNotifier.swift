public import Base
import KernelRuntime

/// A mirror's subscription to changes of one range (`struct mmu_interval_notifier`).
///
/// A mirror that wants to use entries of the range takes a sequence with ``readBegin()``, reads the
/// entries, takes its own lock, and uses them only if ``readRetry(_:)`` says no (R50).
public final class IntervalNotifier {
  public let range: VirtualRange
  public unowned let space: AddressSpace
  let operations: any IntervalNotifierOperations
  var sequence: UInt64 = 0

  enum State {
    case active
    case deferredInsert
    case deferredRemove
    case removed
  }
  var state = State.removed

  init(
    _ space: AddressSpace, _ range: VirtualRange, _ operations: any IntervalNotifierOperations
  ) {
    self.space = space
    self.range = range
    self.operations = operations
  }

  /// Sleeps while the range is being invalidated; the answer goes to ``readRetry(_:)``
  /// (`mmu_interval_read_begin`).
  public func readBegin() async -> UInt64 { await space.notifiers.readBegin(self) }

  /// Whether the range changed since `sequence` was taken (`mmu_interval_read_retry`).
  ///
  /// LOCKING: under the lock that the mirror takes in its invalidate callback (R51).
  public func readRetry(_ sequence: UInt64) -> Bool { self.sequence != sequence }

  /// Publishes the sequence of an invalidation; called in the callback, under the mirror's lock
  /// (`mmu_interval_set_seq`, R62).
  public func setSequence(_ sequence: UInt64) {
    invariant(sequence & 1 == 1, "an invalidation's sequence \(sequence) is odd")
    self.sequence = sequence
  }

  /// Ends the subscription; no callback runs once this returns (`mmu_interval_notifier_remove`).
  ///
  /// LOCKING: not from a callback, and without locks that callbacks take (R63).
  public func remove() async { await space.notifiers.remove(self) }
}

extension AddressSpace {
  /// Subscribes to changes of `range` (`mmu_interval_notifier_insert`).
  ///
  /// `EOVERFLOW` for an empty range; passes `mm.notifier_insert`. The subscription is reliable from
  /// the first ``IntervalNotifier/readBegin()`` on (R64).
  public func insertNotifier(
    _ range: VirtualRange, _ operations: any IntervalNotifierOperations
  ) throws(KernelError) -> IntervalNotifier {
    guard !range.isEmpty else { throw .EOVERFLOW }
    // The process's list of mirrors is made with the first.
    if notifiers.isEmpty { kernel.mightAllocate() }
    try kernel.failures.check(.notifierInsert)
    let notifier = IntervalNotifier(self, range, operations)
    notifiers.insert(notifier)
    return notifier
  }

  /// Subscribes to all changes of the process (`mmu_notifier_register`).
  public func register(_ notifier: any AddressSpaceNotifier) { notifiers.register(notifier) }

  /// Ends a subscription (`mmu_notifier_unregister`).
  public func unregister(_ notifier: any AddressSpaceNotifier) { notifiers.unregister(notifier) }

  /// Tells the mirrors that a blockable change begins.
  func invalidateStart(_ event: NotifierEvent) async {
    do throws(KernelError) {
      try await notifiers.start(self, event)
    } catch {
      invariantFailed("a blockable invalidation of \(event.range) was refused: \(error)")
    }
  }

  func invalidateEnd(_ event: NotifierEvent) { notifiers.end(self, event) }
}
