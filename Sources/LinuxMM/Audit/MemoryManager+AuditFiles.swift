import Base
import KernelRuntime

extension MemoryManager {
  /// Checks that each page in a file's cache says so, and lies within the file.
  func auditFiles(_ audit: inout MemoryAudit, isQuiet: Bool) {
    for case let file? in files {
      for (index, pfn) in zip(file.cache.indices, file.cache.values) {
        let record = pages[pfn.index]
        let name = "page \(pfn) of \(file.name) at \(index)"
        audit.expect(record.references > 0, "\(name) is free")
        audit.expect(
          record.anonymous == AnonymousPlace(file: file.number, index: index),
          "\(name) says file \(record.anonymous.region) index \(record.anonymous.index)")
        audit.expect(
          record.flags.contains(.pageCache)
            && record.flags.contains(.sharedMemory) == (file.kind == .sharedMemory),
          "\(name) is flagged as something else")
        audit.expect(!isQuiet || index < file.pageCount, "\(name) lies beyond the end")
      }
      for vma in file.mappings {
        audit.expect(
          vma.space.mappings.contains { $0 === vma },
          "\(file.name): a mapping \(vma.range) that is gone")
      }
    }
  }
}
