public import Base
import KernelRuntime

// Who holds a page lock. The lock itself is one bit. A migration locks pages by the thousand, so
// its pages are found through its arrays; the few locks that are taken one by one are listed.
extension MemoryManager {
  /// Who holds the page's lock, in words; nil when it is free or nobody is known.
  public func lockHolder(_ pfn: PFN) -> String? { lockHolder(pfn.index) }

  func lockHolder(_ pfn: Int) -> String? {
    guard pages[pfn].flags.contains(.locked) else { return nil }
    if let task = lister(of: pfn) { return "task \(task.name)" }
    guard let buffers = migration(holding: pfn) else { return nil }
    return "the migration of task \(buffers.task?.name ?? "?")"
  }

  /// The task that has to unlock the page first; nil when it is free or nobody is known.
  func runnable(holding page: Int) -> Runnable? {
    let pfn = folio(page)
    guard pages[pfn].flags.contains(.locked) else { return nil }
    return lister(of: pfn) ?? migration(holding: pfn)?.task
  }

  private func lister(of pfn: Int) -> Runnable? {
    guard pages[pfn].flags.contains(.lockListed) else { return nil }
    return lockHolders.last { $0.pfn == pfn }?.task
  }

  private func migration(holding pfn: Int) -> MigrationBuffers? {
    activeMigrations.first { $0.holds(pfn) }
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
