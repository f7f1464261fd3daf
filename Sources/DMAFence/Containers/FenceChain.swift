import Base
import KernelRuntime

/// One point of a timeline of fences (`struct dma_fence_chain`): signalled when its own fence is,
/// and every earlier point's.
///
/// Links hold each other backwards. A link whose fence is signalled is passed over and let go when
/// somebody walks by, and in sweeps of the whole history, so that memory is bounded by what is
/// pending.
public final class FenceChain: Fence {
  /// The point's own fence.
  public let contained: Fence
  /// The number of the point before, even when that link is gone; 0 for the first of a context.
  public let previousSeqno: UInt64
  /// The link before; or else ``previousFence``, or nothing.
  var previousLink: FenceChain?
  /// The fence, no link itself, that the chain began from.
  var previousFence: Fence?
  let history: ChainHistory
  /// Whether the history has an entry for this link.
  var isIndexed = false

  /// Adds a point after `previous` (`dma_fence_chain_init`).
  ///
  /// The point continues `previous`'s context when its number is higher. Otherwise it begins a new
  /// context, with a number no lower than its predecessor's, so that numbers never fall.
  public init(_ contexts: FenceContexts, after previous: Fence?, _ fence: Fence, seqno: UInt64) {
    // INVARIANT: links are joined by `previous` alone; a chain as a point's fence would recurse.
    invariant(!(fence is FenceChain), "a fence chain as a point of a fence chain")
    contained = fence
    let before = previous as? FenceChain
    previousLink = before
    previousFence = before == nil ? previous : nil
    let context: UInt64
    var number = seqno
    if let before, seqno > before.seqno {
      context = before.context
      previousSeqno = before.seqno
      // A second successor of one link starts a history of its own; it shares the link's past.
      history = before.history.endsWith(before) ? before.history : ChainHistory()
    } else {
      context = contexts.allocate()
      previousSeqno = 0
      number = max(number, before?.seqno ?? 0)
      history = ChainHistory()
    }
    super.init(container: contexts.kernel, context: context, seqno: number, is64Bit: true)
    isBehindFaults = fence.isBehindFaults || previous?.isBehindFaults == true
    before?.noteTimeline()
    noteTimeline()
    history.append(self)
  }

  deinit {
    if isIndexed { history.forget(self) }
    // Earlier links are let go one by one: a chain of a hundred thousand is no recursion.
    var next = previousLink
    previousLink = nil
    while var link = next {
      next = nil
      guard isKnownUniquelyReferenced(&link) else { break }
      next = link.previousLink
      link.previousLink = nil
    }
  }

  /// Links are let go by whoever walks by, and the history is one for the whole context.
  @inline(__always)
  func noteTimeline() { kernel.touch(.timeline(context)) }

  override var currentDriverName: String { "dma_fence_chain" }
  override var currentTimelineName: String { "unbound" }

  /// The nearest earlier link or fence that is pending; nil when there is none
  /// (`dma_fence_chain_walk`). Signalled links in between are let go.
  public func walk() -> Fence? {
    noteTimeline()
    while true {
      if let link = previousLink {
        if !link.contained.isSignaled { return link }
        // The peek may have run callbacks that walked here too.
        guard previousLink === link else { continue }
        previousFence = link.previousFence
        previousLink = link.previousLink
      } else if let fence = previousFence {
        if !fence.isSignaled { return fence }
        if previousFence === fence { previousFence = nil }
      } else {
        return nil
      }
    }
  }

  /// Links that can be reached from here, this one included; for bounds on memory.
  package var linkCount: Int {
    var count = 1
    var link = previousLink
    while let here = link {
      count += 1
      link = here.previousLink
    }
    return count
  }

  override func askWhetherSignaled() -> Bool {
    contained.isSignaled && walk() == nil
  }

  override func askToEnable() -> Bool { arm() }

  /// Puts one callback on some pending fence of the chain; false when none is pending.
  private func arm() -> Bool {
    var link = self
    while true {
      if link.contained.addCallback({ [self] _ in again() }) != nil { return true }
      guard let before = link.walk() else { return false }
      guard let next = before as? FenceChain else {
        return before.addCallback { [self] _ in again() } != nil
      }
      link = next
    }
  }

  /// LOCKING: runs under the other fence's lock, so looking for the next one is put off.
  private func again() {
    kernel.irqWork { [self] in
      if !isSignaledFlag && !arm() { signal() }
    }
  }

  override func passOnDeadline(_ time: UInt64) {
    contained.setDeadline(time)
    var link = self
    while let before = link.walk() {
      guard let next = before as? FenceChain else {
        before.setDeadline(time)
        return
      }
      next.contained.setDeadline(time)
      link = next
    }
  }
}
