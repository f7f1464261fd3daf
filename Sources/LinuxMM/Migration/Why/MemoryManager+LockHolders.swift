public import Base
import KernelRuntime

// Who holds a page lock. The lock itself is one bit. A migration locks pages by the thousand, so
// its pages are found through its arrays; the few locks that are taken one by one are listed.
extension MemoryManager {
  /// Who holds the page's lock, in words; nil when it is free or nobody is known.
  public func lockHolder(_ pfn: PFN) -> String? { lockHolder(pfn.index) }

  func lockHolder(_ pfn: Int) -> String? {
    let flags = pages[pfn].flags
    guard flags.contains(.locked) else { return nil }
    if flags.contains(.lockListed), let entry = lockHolders.last(where: { $0.pfn == pfn }) {
      return "task \(entry.task.name)"
    }
    for buffers in activeMigrations where buffers.holds(pfn) {
      return "the migration of task \(buffers.task?.name ?? "?")"
    }
    return nil
  }

  /// The page was locked on its own.
  func listLock(_ pfn: Int) {
    guard let task = kernel.current else { return }
    pages[pfn].flags.insert(.lockListed)
    lockHolders.append((pfn, task))
  }

  /// A listed lock was given back.
  func unlistLock(_ pfn: Int) {
    guard let place = lockHolders.lastIndex(where: { $0.pfn == pfn }) else { return }
    lockHolders.remove(at: place)
  }
}

extension MigrationBuffers {
  /// Whether the migration has locked the page, as a source or a destination.
  fileprivate func holds(_ pfn: Int) -> Bool {
    let arrays = arrays
    for place in 0..<count {
      if arrays[source: place].pfn?.index == pfn { return true }
      if arrays[destination: place].pfn?.index == pfn { return true }
    }
    return false
  }
}
