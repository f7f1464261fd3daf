public import Base

extension Fence {
  /// The fence to wait for, for a timeline's point `seqno`, where this fence is the timeline's head
  /// (`dma_fence_chain_find_seqno`); nil when that point and all before it are done.
  ///
  /// A number that no point has stands for the next that there is. 0 is the head itself. Throws
  /// `EINVAL` when this is no chain, or when the point hasn't been added yet.
  public final func point(_ seqno: UInt64) throws(KernelError) -> Fence? {
    if seqno == 0 { return self }
    guard let head = self as? FenceChain, head.seqno >= seqno else { throw .EINVAL }
    var link = head
    while true {
      link.noteTimeline()
      if link.context != head.context || link.previousSeqno < seqno { return link }
      let (found, lowest) = link.history.find(seqno, upTo: link)
      if let found { return found }
      // Everything here is done or too high: go on below, where another history begins.
      guard let below = (lowest ?? link).walk() else { return nil }
      guard let next = below as? FenceChain else { return below }
      link = next
    }
  }

  /// The fences that this one stands for, containers opened (`dma_fence_unwrap_for_each`): links
  /// that are passed over as done are left out.
  public final func forEachLeaf(_ body: (Fence) -> Void) {
    var link: Fence? = self
    while let here = link {
      let chain = here as? FenceChain
      let inner = chain?.contained ?? here
      if let array = inner as? FenceArray {
        for member in array.members { body(member) }
      } else {
        body(inner)
      }
      link = chain?.walk()
    }
  }

  /// The fences of ``forEachLeaf(_:)``.
  public final var leaves: [Fence] {
    var found: [Fence] = []
    forEachLeaf { found.append($0) }
    return found
  }
}
