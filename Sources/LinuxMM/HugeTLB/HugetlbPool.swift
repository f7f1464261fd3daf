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
}

/// What the mappings made by one `mmap` share: its promise of pages, and, when they are shared, the
/// pages (`struct resv_map`, and the inode of `hugetlbfs`).
final class HugetlbMemory {
  /// Pages promised and not touched yet.
  var left: Int
  /// Mappings.
  var users = 0
  /// The first page of each huge page of a shared mapping, by huge page index.
  var pages = IndexedTable<PFN>()

  init(reserving pages: Int) { left = pages }
}

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
      for pfn in head..<head + HugePage.pages {
        pages[pfn] = PageRecord(
          flags: [.hugetlb, .uptodate], references: 0, mappings: 0, extra: 0, anonymous: .none,
          links: 0)
      }
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

  /// A huge page of the pool with one user, promised to `memory` or free for all; nil without one.
  func takeHugetlb(for memory: HugetlbMemory?) -> Int? {
    if let memory, memory.left > 0 {
      memory.left -= 1
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

  /// A user of a huge page goes; the last one gives it back to the pool (`free_huge_folio`).
  func putHugetlb(_ head: Int) {
    invariant(pages[head].references > 0, "huge page \(head) given back twice")
    pages[head].references -= 1
    if pages[head].references == 0 { hugetlb.free.append(head) }
  }

  /// A mapping goes; with the last one the promise and the shared pages go too.
  func leave(_ memory: HugetlbMemory) {
    memory.users -= 1
    guard memory.users == 0 else { return }
    hugetlb.reserved -= memory.left
    memory.left = 0
    for head in memory.pages.values { putHugetlb(head.index) }
    memory.pages = IndexedTable()
  }
}
