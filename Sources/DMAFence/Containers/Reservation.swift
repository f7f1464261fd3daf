public import Base
public import KernelRuntime

/// What a fence does to the buffer it is attached to (`enum dma_resv_usage`). Asking for a usage
/// answers with all stronger ones too.
public enum ReservationUsage: Int, Sendable, CaseIterable, Comparable {
  /// The kernel moves or clears the buffer; must be waited for before anything else.
  case kernel = 0
  /// User space's work that writes.
  case write = 1
  /// User space's work that reads.
  case read = 2
  /// No implied order; waited for when the buffer is moved or freed.
  case bookkeep = 3

  public static func < (a: ReservationUsage, b: ReservationUsage) -> Bool {
    a.rawValue < b.rawValue
  }

  /// What new work must wait for: a reader for writers, a writer for readers as well
  /// (`dma_resv_usage_rw`).
  public static func toWaitFor(isWrite: Bool) -> ReservationUsage { isWrite ? .read : .write }
}

/// The fences attached to one buffer, by usage, under one lock (`struct dma_resv`).
public final class Reservation {
  struct Entry {
    var fence: Fence
    var usage: ReservationUsage
  }

  /// One generation of the list; a cursor that finds another one begins again.
  final class List {
    var entries: [Entry] = []
    /// Entries that may be added before a slot must be reserved again.
    let capacity: Int

    init(capacity: Int) { self.capacity = capacity }
  }

  let contexts: FenceContexts
  var list: List {
    get {
      contexts.kernel.touch(shared, writing: false)
      return current
    }
    set {
      contexts.kernel.touch(shared)
      current = newValue
    }
  }
  private var current = List(capacity: 0)
  private let shared: SharedObject
  /// Held to add and to reserve; reading needs no lock.
  public let lock: SleepingLock

  public init(_ contexts: FenceContexts) {
    self.contexts = contexts
    shared = contexts.kernel.takeSharedObject()
    lock = SleepingLock(contexts.kernel, .reservation)
  }

  private func assertHeld(_ operation: String) {
    invariant(lock.isHeldByCurrent, "\(operation) without the reservation's lock")
  }

  /// Makes sure that `count` fences can be added without failing (`dma_resv_reserve_fences`).
  ///
  /// Throws `EINVAL` for none, and `ENOMEM` where the plan has the allocation fail.
  public func reserve(_ count: Int) throws(KernelError) {
    assertHeld("dma_resv_reserve_fences")
    guard count > 0 else { throw .EINVAL }
    if list.entries.count + count <= list.capacity { return }
    contexts.kernel.mightAllocate()
    try contexts.kernel.failures.check(.userCopyAlloc)
    let pending = list.entries.filter { !$0.fence.isSignaled }
    let grown = List(capacity: max(pending.count + count, 2 * list.capacity))
    grown.entries = pending
    list = grown
  }

  /// Attaches a fence, in a slot that was reserved (`dma_resv_add_fence`).
  ///
  /// It takes the place of a signalled one, or of an earlier one of its context whose usage is no
  /// stronger. INVARIANT: it is no container, and a slot was reserved.
  public func add(_ fence: Fence, _ usage: ReservationUsage) {
    assertHeld("dma_resv_add_fence")
    fence.willBePublished()
    contexts.kernel.touch(shared)
    invariant(
      !(fence is FenceArray || fence is FenceChain), "a container in a reservation object")
    for index in list.entries.indices {
      let old = list.entries[index]
      let isSuperseded =
        old.fence.context == fence.context && old.usage >= usage
        && !old.fence.isLater(than: fence)
      if isSuperseded || old.fence.isSignaled {
        list.entries[index] = Entry(fence: fence, usage: usage)
        return
      }
    }
    invariant(list.entries.count < list.capacity, "dma_resv_add_fence without a reserved slot")
    list.entries.append(Entry(fence: fence, usage: usage))
  }

  /// Puts `replacement` where fences of `context` are (`dma_resv_replace_fences`), such as a
  /// preemption fence.
  public func replace(context: UInt64, with replacement: Fence, _ usage: ReservationUsage) {
    assertHeld("dma_resv_replace_fences")
    replacement.willBePublished()
    contexts.kernel.touch(shared)
    for index in list.entries.indices where list.entries[index].fence.context == context {
      list.entries[index] = Entry(fence: replacement, usage: usage)
    }
  }

  /// Every attached fence of `usage` and stronger, signalled ones too, with the lock held
  /// (`dma_resv_for_each_fence`).
  public func forEach(
    _ usage: ReservationUsage, _ body: (Fence, ReservationUsage) throws(KernelError) -> Void
  ) throws(KernelError) {
    assertHeld("dma_resv_for_each_fence")
    for entry in list.entries where entry.usage <= usage { try body(entry.fence, entry.usage) }
  }
}
