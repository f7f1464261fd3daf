import Base
import KernelRuntime

extension MemoryManager {
  /// Checks the pool of huge pages: every page in it or in use, users and promises counted.
  ///
  /// - Parameter mapped: how many entries map each page; of a huge page the first record counts.
  func auditHugetlb(
    _ audit: inout MemoryAudit, _ mapped: borrowing RecordTable<Int32>, isQuiet: Bool
  ) {
    var inFiles: Set<Int> = []
    for file in hugetlb.files {
      for head in file.pages.values { inFiles.insert(head.index) }
    }
    var used = 0
    for pfn in 1..<frames.untouched
    where pages[pfn].flags.isSuperset(of: [.hugetlb, .head]) && pages[pfn].references > 0 {
      used += 1
      let record = pages[pfn]
      audit.expect(
        entireMappings(pfn) == mapped[pfn],
        "huge page \(pfn): map count \(entireMappings(pfn)), entries \(mapped[pfn])")
      let known = Int(mapped[pfn]) + Int(record.extra) + (inFiles.contains(pfn) ? 1 : 0)
      audit.expect(
        isQuiet ? record.references == known : record.references >= known,
        "huge page \(pfn): \(record.references) references, \(known) known users")
      audit.expect(
        !record.flags.contains(.exclusive) || mapped[pfn] <= 1,
        "huge page \(pfn) is exclusive with \(mapped[pfn]) mappings")
    }
    for head in hugetlb.free {
      audit.expect(
        pages[head].references == 0 && mapped[head] == 0 && entireMappings(head) == 0,
        "huge page \(head) is in the pool and in use")
    }
    let promised =
      hugetlb.files.reduce(0) { $0 + $1.promise.count }
      + addressSpaces.reduce(0) { sum, space in
        space.mappings.reduce(sum) { $0 + ($1.hugetlbPromise?.count(in: $1.hugetlbIndices) ?? 0) }
      }
    audit.expect(
      used + hugetlb.free.count == hugetlb.total,
      "\(hugetlb.total) huge pages, \(used) in use and \(hugetlb.free.count) in the pool")
    audit.expect(
      promised == hugetlb.reserved && promised <= hugetlb.free.count,
      "\(hugetlb.reserved) huge pages reserved, \(promised) promised, \(hugetlb.free.count) free")
  }
}
