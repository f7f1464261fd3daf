import Base

/// Huge pages promised to a private mapping, or to all shared mappings of a file, by index of huge
/// page (`struct resv_map`).
///
/// INVARIANT: the pool's `reserved` is the sum of all promises. Mappings that come from one `mmap`
/// by splits share theirs; each has its own part of the indices. A child of `fork` has none.
final class HugetlbPromise {
  private var promised = IndexedTable<Bool>()

  var count: Int { promised.count }

  func add(_ index: UInt64) { promised[index] = true }

  /// Uses the promise of one page up; false when there was none.
  func take(_ index: UInt64) -> Bool {
    guard promised[index] != nil else { return false }
    promised[index] = nil
    return true
  }

  /// Ends what was promised within `range`; how many pages that were.
  func remove(_ range: Range<UInt64>) -> Int {
    let before = promised.count
    promised.removeAll(in: range)
    return before - promised.count
  }

  func count(in range: Range<UInt64>) -> Int { promised.indices.count { range.contains($0) } }
}

extension VMA {
  /// The number of the huge page at `address` within a hugetlb mapping's file or, when it has none,
  /// within the mapping as it was made (`vma_hugecache_offset`).
  func hugetlbIndex(_ address: VirtualAddress) -> UInt64 {
    index(of: address.pageBase) >> UInt64(HugePage.order)
  }

  /// The numbers of all its huge pages.
  var hugetlbIndices: Range<UInt64> {
    let first = pageOffset >> UInt64(HugePage.order)
    return first..<first + UInt64(range.pages >> HugePage.order)
  }
}
