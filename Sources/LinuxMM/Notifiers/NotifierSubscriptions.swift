import Base
import KernelRuntime

/// The mirrors of one process and the sequence number by which they notice changes
/// (`mmu_notifier_subscriptions`).
///
/// INVARIANT: `sequence` is odd while an invalidation that met an interval notifier runs; interval
/// notifiers join and leave only while it is even, else they are deferred to the end.
final class NotifierSubscriptions {
  private let kernel: Kernel
  /// Interval notifiers, by start.
  private(set) var intervals: [IntervalNotifier] = []
  /// Those that join or leave when the running invalidations end.
  private var deferred: [IntervalNotifier] = []
  /// Whole-process subscriptions, in order of registration.
  private(set) var wholeSpace: [any AddressSpaceNotifier] = []
  // SOURCE: mm/mmu_notifier.c starts the count at 2, so that 0 and 1 are never current.
  private(set) var sequence: UInt64 = 2
  /// Invalidations between start and end.
  private(set) var running = 0
  private let changed: WaitQueue

  init(_ kernel: Kernel) {
    self.kernel = kernel
    changed = WaitQueue(kernel, "mmu interval notifier sequence")
  }

  /// Whether any mirror could be met.
  @inline(__always)
  var isEmpty: Bool { intervals.isEmpty && wholeSpace.isEmpty && deferred.isEmpty }

  var isInvalidating: Bool { sequence & 1 == 1 }

  /// Lets every mirror go, for a machine that goes as it stands.
  func abandon() {
    intervals = []
    deferred = []
    wholeSpace = []
  }

  func register(_ notifier: any AddressSpaceNotifier) { wholeSpace.append(notifier) }

  func unregister(_ notifier: any AddressSpaceNotifier) {
    wholeSpace.removeAll { $0 === notifier }
  }

  private func insertNow(_ notifier: IntervalNotifier) {
    let place = intervals.firstIndex { $0.range.start > notifier.range.start } ?? intervals.count
    intervals.insert(notifier, at: place)
    notifier.state = .active
  }

  /// Joins, now or when the running invalidations end (`mmu_interval_notifier_insert`).
  func insert(_ notifier: IntervalNotifier) {
    if running > 0 {
      // The range may be what the running invalidation is about; being odd, the sequence makes
      // readers wait for its end.
      if isInvalidating {
        notifier.state = .deferredInsert
        deferred.append(notifier)
      } else {
        sequence |= 1
        insertNow(notifier)
      }
      notifier.sequence = sequence
    } else {
      // Odd and in the past: equal to no sequence of an invalidation to come.
      notifier.sequence = sequence - 1
      insertNow(notifier)
    }
  }

  /// Leaves, and sleeps until no callback of it runs or can begin (`mmu_interval_notifier_remove`).
  func remove(_ notifier: IntervalNotifier) async {
    await kernel.point()
    switch notifier.state {
    case .removed, .deferredRemove:
      invariantFailed("interval notifier removed twice")
    case .deferredInsert:
      // It never joined, so nothing has to end first (M23).
      deferred.removeAll { $0 === notifier }
      notifier.state = .removed
    case .active where isInvalidating:
      notifier.state = .deferredRemove
      deferred.append(notifier)
      let seen = sequence
      await changed.wait { sequence != seen }
    case .active:
      intervals.removeAll { $0 === notifier }
      notifier.state = .removed
    }
  }

  /// Sleeps while the range is being invalidated, then returns the sequence to compare with later.
  func readBegin(_ notifier: IntervalNotifier) async -> UInt64 {
    await kernel.point()
    let seen = notifier.sequence
    if seen == sequence { await changed.wait { sequence != seen } }
    return seen
  }

  /// Tells every mirror of `event.range` to stop using it (`mmu_notifier_invalidate_range_start`).
  ///
  /// Throws `EAGAIN` when the event may not block and a mirror would have to; nothing is started
  /// then.
  func start(_ space: AddressSpace, _ event: NotifierEvent) async throws(KernelError) {
    await kernel.point()
    if event.isBlockable, let me = kernel.currentTask { kernel.lockChecks.mightCallNotifiers(me) }
    running += 1
    kernel.trace.record(
      .invalidateStart, event.range.start.rawValue, event.range.end.rawValue, event.traceNumber)
    let met = intervals.filter { $0.range.overlaps(event.range) }
    if !met.isEmpty {
      sequence |= 1
      for notifier in met {
        let stopped = await kernel.within(.notifier) { () async in
          await notifier.operations.invalidate(notifier, event, sequence)
        }
        if stopped { continue }
        invariant(!event.isBlockable, "a mirror refused an event that may block (R61)")
        close(event)
        throw .EAGAIN
      }
    }
    var told = 0
    for notifier in wholeSpace {
      if event.isBlockable {
        await kernel.within(.notifier) { () async in
          await notifier.invalidateRangeStart(space, event)
        }
      } else if !notifier.tryInvalidateRangeStart(space, event) {
        close(event)
        // Whoever was told of the begin is told of the end, and nobody else (R60).
        for notifier in wholeSpace.prefix(told) { notifier.invalidateRangeEnd(space, event) }
        throw .EAGAIN
      }
      told += 1
    }
  }

  /// The change is done (`mmu_notifier_invalidate_range_end`).
  func end(_ space: AddressSpace, _ event: NotifierEvent) {
    close(event)
    for notifier in wholeSpace { notifier.invalidateRangeEnd(space, event) }
  }

  /// One invalidation fewer runs; after the last one the deferred notifiers join and leave
  /// (`mn_itree_inv_end`).
  private func close(_ event: NotifierEvent) {
    invariant(running > 0, "the end of an invalidation that never began (R60)")
    kernel.trace.record(
      .invalidateEnd, event.range.start.rawValue, event.range.end.rawValue, event.traceNumber)
    running -= 1
    guard running == 0, isInvalidating else { return }
    sequence += 1
    let waiting = deferred
    deferred = []
    for notifier in waiting {
      if notifier.state == .deferredInsert {
        insertNow(notifier)
      } else {
        intervals.removeAll { $0 === notifier }
        notifier.state = .removed
      }
    }
    changed.wakeAll()
  }
}

extension NotifierEvent {
  var traceNumber: UInt64 {
    UInt64(Kind.allCases.firstIndex(of: kind) ?? 0)
  }
}
