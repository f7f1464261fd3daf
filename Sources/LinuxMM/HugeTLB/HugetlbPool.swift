import Base
import KernelRuntime

/// Huge pages set aside for hugetlb mappings (`struct hstate`), in counts (`HugePages_*` of
/// `/proc/meminfo`).
public struct HugetlbCounters: Hashable, Sendable {
  /// In the pool or in use.
  public var total = 0
  /// In the pool.
  public var free = 0
  /// Of those in the pool, promised to mappings that have not touched them.
  public var reserved = 0
}

/// The pool itself.
struct HugetlbPool {
  /// First pages of the huge pages in the pool, the next one last.
  var free: [Int] = []
  var total = 0
  var reserved = 0
  /// Files of huge pages that still have a name or a mapping.
  var files: [HugetlbFile] = []
}

// A page of the pool is a folio as any other huge page: its first record counts references, pins
// and, in the second one, mappings. In the pool it has no references.
extension MemoryManager {
  public var hugetlbCounters: HugetlbCounters {
    HugetlbCounters(
      total: hugetlb.total, free: hugetlb.free.count, reserved: hugetlb.reserved)
  }

  /// Makes the pool `count` huge pages large, as far as there is memory in one piece, and pages
  /// that nobody uses or was promised can be given back (`nr_hugepages`); how many it has then.
  @discardableResult
  public func setHugetlbPages(_ count: Int) -> Int {
    while hugetlb.total < count, let head = frames.takeHuge() {
      makeFolio(head, [.hugetlb, .uptodate])
      pages[head].references = 0
      hugetlb.free.append(head)
      hugetlb.total += 1
    }
    while hugetlb.total > count, hugetlb.free.count > hugetlb.reserved,
      let head = hugetlb.free.popLast()
    {
      for pfn in head..<head + HugePage.pages { frames.give(pfn) }
      hugetlb.total -= 1
    }
    return hugetlb.total
  }

  /// A huge page of the pool with one reference; nil without one that is promised to nobody else
  /// (`alloc_hugetlb_folio`).
  ///
  /// - Parameter promised: the page was promised to the caller, whose promise is used up.
  func takeHugetlb(promised: Bool) -> Int? {
    if promised {
      hugetlb.reserved -= 1
    } else if hugetlb.free.count <= hugetlb.reserved {
      return nil
    }
    guard let head = hugetlb.free.popLast() else {
      invariantFailed("\(hugetlb.reserved) huge pages promised and none in the pool")
    }
    pages[head].references = 1
    return head
  }

  /// Promises `count` pages, which no other mapping can take then (`hugetlb_acct_memory`); `ENOMEM`
  /// when the pool has too few.
  func reserveHugetlb(_ count: Int) throws(KernelError) {
    guard hugetlb.free.count - hugetlb.reserved >= count else { throw .ENOMEM }
    hugetlb.reserved += count
  }

  /// The last reference of a huge page of the pool went: it goes back (`free_huge_folio`).
  func releaseHugetlb(_ head: Int) {
    invariant(
      entireMappings(head) == 0 && pages[head].extra == 0,
      "huge page \(head) went back to the pool mapped or pinned")
    pages[head].flags = [.hugetlb, .uptodate, .head]
    pages[head].anonymous = .none
    hugetlb.free.append(head)
  }

  /// One mapping of a huge page of the pool goes (`hugetlb_remove_rmap`).
  func removeHugetlbMapping(_ head: Int) {
    countEntireMappings(head, -1)
    if entireMappings(head) == 0 { pages[head].flags.remove(.exclusive) }
    drop(head)
  }
}
