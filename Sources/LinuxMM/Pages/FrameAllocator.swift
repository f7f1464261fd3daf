import Base

/// Hands out system pages: recently freed ones first, in rising order within a run, then pages that
/// were never used.
///
/// The free list is a stack of runs kept inside the free pages' own records, so a machine of any
/// size is made in no time, and what was never touched stays untouched. A page freed next to the
/// top run joins it: pages that were freed in a row are handed out again in a row, which lets bulk
/// copies coalesce.
///
/// INVARIANT: the record of a run's first page holds the run's length in `extra` and the first page
/// of the run below in `links`; the top run's values live in this object.
final class FrameAllocator {
  private let pages: FlatView<PageRecord>
  /// System pages of the machine; page 0 is the zero page and never handed out.
  let limit: Int
  /// The first page that was never handed out.
  private(set) var untouched = 1
  /// The top run.
  private(set) var runStart = 0
  private(set) var runCount = 0
  /// The first page of the run below the top; 0 for none.
  private(set) var below = 0
  /// Pages on the free list, without the untouched ones.
  private(set) var recycled = 0
  /// Who is charged for pages in use; nil until a group of processes has a limit.
  var groups: MemoryGroups?

  init(_ pages: FlatView<PageRecord>, limit: Int) {
    self.pages = pages
    self.limit = limit
  }

  /// Pages that can still be had.
  var available: Int { recycled + limit - untouched }
  /// Pages in use, the zero page not counted.
  var used: Int { untouched - 1 - recycled }

  /// A page with one reference and unspecified bytes; nil when none is left.
  @inline(__always)
  func take() -> Int? {
    if runCount == 0 && !refill() { return nil }
    let pfn = runStart
    runStart += 1
    runCount -= 1
    if pfn == untouched {
      untouched += 1
    } else {
      recycled -= 1
    }
    pages[pfn].flags = []
    pages[pfn].references = 1
    return pfn
  }

  /// Pages in a row, at most `wanted`, as ``take()`` would give them one by one, each locked; empty
  /// when none is left.
  func takeLockedRun(upTo wanted: Int) -> Range<Int> {
    if runCount == 0 && !refill() { return 0..<0 }
    let first = runStart
    let count: Int
    if first == untouched {
      count = min(wanted, limit - untouched)
      untouched += count
      runCount = 0
    } else {
      count = min(wanted, runCount)
      recycled -= count
      runCount -= count
    }
    runStart += count
    for pfn in first..<(first + count) {
      pages[pfn].flags = .locked
      pages[pfn].references = 1
    }
    return first..<(first + count)
  }

  /// Makes the next run the top: the one below, or one page that was never used.
  private func refill() -> Bool {
    if below != 0 {
      runStart = below
      runCount = Int(pages[below].extra)
      below = Int(pages[below].links)
      pages[runStart].extra = 0
      pages[runStart].links = 0
      return true
    }
    guard untouched < limit else { return false }
    runStart = untouched
    runCount = 1
    return true
  }

  /// Takes back a page without references.
  @inline(__always)
  func give(_ pfn: Int) {
    if let groups { groups.uncharge(pfn) }
    pages[pfn] = PageRecord(
      flags: .free, references: 0, mappings: 0, extra: 0, anonymous: .none, links: 0)
    recycled += 1
    if pfn == runStart + runCount && runCount > 0 {
      runCount += 1
    } else if pfn + 1 == runStart && runCount > 0 {
      runStart = pfn
      runCount += 1
    } else {
      push(pfn)
    }
  }

  /// Keeps a broken page without users from ever being handed out again; it counts as used.
  func retire(_ pfn: Int) {
    if let groups { groups.uncharge(pfn) }
    pages[pfn] = PageRecord(
      flags: .hwPoison, references: 1, mappings: 0, extra: 0, anonymous: .none, links: 0)
  }

  /// Takes one free page out of the list, as good as never free; false when it is in use.
  func remove(_ pfn: Int) -> Bool {
    guard pfn < limit else { return false }
    if pfn >= untouched {
      let skipped = untouched..<pfn
      untouched = pfn + 1
      for page in skipped { give(page) }
      return true
    }
    guard pages[pfn].flags == .free else { return false }
    let runs = runs().flatMap { run in
      run.contains(pfn) ? [run.lowerBound..<pfn, pfn + 1..<run.upperBound] : [run]
    }
    for run in self.runs() {
      pages[run.lowerBound].extra = 0
      pages[run.lowerBound].links = 0
    }
    thread(runs.filter { !$0.isEmpty }, less: 1)
    return true
  }

  private func push(_ pfn: Int) {
    if runCount > 0 {
      pages[runStart].extra = UInt32(runCount)
      pages[runStart].links = UInt64(below)
      below = runStart
    }
    runStart = pfn
    runCount = 1
  }

  func flags(of pfn: Int) -> PageFlags { pages[pfn].flags }

  /// Passes over pages that were never used; the caller gives or uses them.
  func skipUntouched(to pfn: Int) { untouched = pfn }

  /// Makes `runs` the free list, top first, after `count` pages were taken out of it.
  func thread(_ runs: [Range<Int>], less count: Int) {
    runStart = 0
    runCount = 0
    below = 0
    for run in runs.reversed() {
      pages[run.lowerBound].extra = 0
      pages[run.lowerBound].links = 0
      push(run.lowerBound)
      runCount = run.count
    }
    recycled -= count
  }

  /// Every run of the free list, top first, for audits.
  func runs() -> [Range<Int>] {
    var found: [Range<Int>] = []
    if runCount > 0 { found.append(runStart..<runStart + runCount) }
    var next = below
    while next != 0 && found.count <= limit {
      found.append(next..<next + Int(pages[next].extra))
      next = Int(pages[next].links)
    }
    return found
  }
}
