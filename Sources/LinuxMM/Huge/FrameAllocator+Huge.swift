import Base

extension FrameAllocator {
  /// The first of 512 aligned pages in a row, without references and flags; nil when there are
  /// none, though many single pages may be left.
  ///
  /// Recycled pages first, as for single pages; pages passed over for alignment are recycled.
  func takeHuge() -> Int? {
    if let block = alignedBlock(in: runStart..<runStart + runCount) {
      carve(block, from: 0)
      return block
    }
    let first = alignUp(untouched)
    if first + HugePage.pages <= limit {
      let skipped = untouched..<first
      skipUntouched(to: first + HugePage.pages)
      for pfn in skipped { give(pfn) }
      return first
    }
    return takeScattered()
  }

  private func alignUp(_ pfn: Int) -> Int { (pfn + HugePage.mask) & ~HugePage.mask }

  private func alignedBlock(in run: Range<Int>) -> Int? {
    let first = alignUp(run.lowerBound)
    return first + HugePage.pages <= run.upperBound ? first : nil
  }

  /// Pages that are free but lie in several runs, because they were freed out of order.
  private func takeScattered() -> Int? {
    guard recycled >= HugePage.pages else { return nil }
    var block = HugePage.pages
    while block + HugePage.pages <= untouched {
      if isFree(block) {
        let runs = self.runs().flatMap { without(block, $0) }
        thread(runs, less: HugePage.pages)
        return block
      }
      block += HugePage.pages
    }
    return nil
  }

  private func isFree(_ block: Int) -> Bool {
    (block..<block + HugePage.pages).allSatisfy { flags(of: $0).contains(.free) }
  }

  /// Takes a block out of the run at `place` of the list, which contains it.
  private func carve(_ block: Int, from place: Int) {
    var runs = self.runs()
    runs.replaceSubrange(place...place, with: without(block, runs[place]))
    thread(runs, less: HugePage.pages)
  }

  /// What is left of a run without the block.
  private func without(_ block: Int, _ run: Range<Int>) -> [Range<Int>] {
    let end = block + HugePage.pages
    guard run.lowerBound < end, block < run.upperBound else { return [run] }
    var left: [Range<Int>] = []
    if end < run.upperBound { left.append(max(end, run.lowerBound)..<run.upperBound) }
    if run.lowerBound < block { left.append(run.lowerBound..<min(block, run.upperBound)) }
    return left
  }
}
