import Base

/// The links of one context in rising order, so that a point is found by bisection and signalled
/// links are swept out in bulk.
///
/// It holds no link: the chain does. A link that goes leaves a gap, which the next sweep closes.
final class ChainHistory {
  struct Entry {
    let seqno: UInt64
    let previousSeqno: UInt64
    // An optional `unowned` would do, but Swift 6.3 takes an array's element with a nil in it for
    // the end of the array.
    private unowned let object: FenceChain
    /// The link has gone; only its numbers are left.
    var isGap = false

    init(_ link: FenceChain) {
      seqno = link.seqno
      previousSeqno = link.previousSeqno
      object = link
    }

    var link: FenceChain? { isGap ? nil : object }
  }

  private(set) var entries: [Entry] = []
  /// Sweep when this many entries are reached: twice what the last sweep left, so that the cost of
  /// sweeping is constant a point.
  private var sweepAt = 64

  func endsWith(_ link: FenceChain) -> Bool { entries.last?.link === link }

  func append(_ link: FenceChain) {
    entries.append(Entry(link))
    link.isIndexed = true
    if entries.count >= sweepAt { sweep() }
  }

  /// A link goes: its entry becomes a gap, or is dropped at the end.
  func forget(_ link: FenceChain) {
    link.isIndexed = false
    if entries.last?.seqno == link.seqno {
      entries.removeLast()
      while let last = entries.last, last.isGap { entries.removeLast() }
      return
    }
    let index = firstIndex { $0.seqno >= link.seqno }
    if index < entries.count && entries[index].seqno == link.seqno { entries[index].isGap = true }
  }

  /// The highest link, no higher than `top`, whose point before is below `seqno` and whose fence is
  /// pending; or else the lowest link there is.
  func find(_ seqno: UInt64, upTo top: FenceChain) -> (found: FenceChain?, lowest: FenceChain?) {
    // Both numbers rise along the history, so each bound is a bisection.
    let end = firstIndex { $0.seqno > top.seqno }
    var index = min(end, firstIndex { $0.previousSeqno >= seqno }) - 1
    var lowest: FenceChain?
    while index >= 0 {
      if let link = entries[index].link {
        if !link.contained.isSignaled { return (link, nil) }
        lowest = link
      }
      index -= 1
    }
    return (nil, lowest ?? entries.prefix(end).lazy.compactMap(\.link).first)
  }

  private func firstIndex(where isPast: (Entry) -> Bool) -> Int {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if isPast(entries[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Takes every signalled link but the last out of the chain and of the entries.
  private func sweep() {
    let links = entries.compactMap(\.link)
    // Peeks first: they may signal fences, and callbacks may add points or walk this chain.
    for link in links.dropLast() { _ = link.contained.isSignaled }
    rebuild()
    sweepAt = max(64, 2 * entries.count)
    // Links go with `links`, lowest first, each after its predecessor: no recursion.
    _ = links.count
  }

  private func rebuild() {
    var kept: [Entry] = []
    var below: (link: FenceChain?, fence: Fence?)?
    for (index, entry) in entries.enumerated() {
      guard let link = entry.link else { continue }
      let (lower, start) = below ?? (link.previousLink, link.previousFence)
      if link.contained.isSignaledFlag && index < entries.count - 1 {
        link.isIndexed = false
        below = (lower, start)
        continue
      }
      link.previousLink = lower
      link.previousFence = start
      kept.append(entry)
      below = (link, nil)
    }
    entries = kept
  }
}
