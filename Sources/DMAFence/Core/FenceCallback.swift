/// One callback on one fence (`struct dma_fence_cb`); made by ``Fence/addCallback(_:)``.
public final class FenceCallback {
  /// Taken out when the callback runs or is removed.
  var body: ((Fence) -> Void)?
  /// Its place: -1 is the fence's inline slot, others index the list.
  var slot = -1

  init(_ body: @escaping (Fence) -> Void) { self.body = body }

  /// Still registered: neither run nor removed.
  public var isPending: Bool { body != nil }
}

/// The callbacks of one fence in order of adding. One needs no array; removal is O(1).
struct CallbackList {
  private var first: FenceCallback?
  private var more: [FenceCallback?] = []
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  mutating func append(_ callback: FenceCallback) {
    count += 1
    if count == 1 {
      callback.slot = -1
      first = callback
      return
    }
    callback.slot = more.count
    more.append(callback)
  }

  mutating func remove(_ callback: FenceCallback) {
    count -= 1
    if callback.slot < 0 {
      first = nil
    } else {
      more[callback.slot] = nil
    }
    if count == 0 {
      more.removeAll(keepingCapacity: true)
    } else if more.count > 16 && more.count > 4 * count {
      compact()
    }
  }

  /// Closes the gaps that removals left, so that a fence polled by many short waits stays small.
  private mutating func compact() {
    more.removeAll { $0 == nil }
    for (slot, callback) in more.enumerated() { callback?.slot = slot }
  }

  /// Empties the list and hands each callback's body to `run`, in order.
  mutating func takeAll(_ run: (FenceCallback) -> Void) {
    guard count > 0 else { return }
    count = 0
    let head = first
    first = nil
    let tail = more
    more = []
    if let head { run(head) }
    for case .some(let callback) in tail { run(callback) }
  }
}
