public import Base
import KernelRuntime

extension MemoryManager {
  /// Takes a page out of use before it breaks (`soft_offline_page`): its bytes move to another page
  /// and nobody notices.
  ///
  /// - `ENXIO`: no RAM
  /// - `EHWPOISON`: out of use already
  /// - `EBUSY`: the page can't move now: pinned, locked, huge, the zero page, or a file's
  /// - `ENOMEM`: no other page can be had
  public func softOffline(_ pfn: PFN) async throws(KernelError) {
    await kernel.point()
    guard isSystemPage(pfn) else { throw .ENXIO }
    let page = pfn.index
    guard !isPoisoned(pfn) else { throw .EHWPOISON }
    guard page != 0 else { throw .EBUSY }
    if frames.remove(page) { return frames.retire(page) }
    await drainLRUOfAllCPUs()
    let new = try await allocatePage(for: nil)
    guard pages[page].flags.contains(.lru), !isHuge(pfn), pages[page].anonymous.isAnonymous,
      tryLock(pfn)
    else {
      put(new)
      throw .EBUSY
    }
    get(pfn)
    lru.unlink(page)
    await replaceMappings(page)
    let isCached = pages[page].flags.contains(.swapCache)
    let isFree = pages[page].mappings == 0 && pages[page].references == (isCached ? 2 : 1)
    var winner = page
    if isFree {
      moveContents(page, to: new.index)
      winner = new.index
    }
    lru.add(winner, cpu: currentCPU)
    restoreMappings(from: page, to: winner)
    if isFree {
      pages[page].flags.insert(.hwPoison)
      unlock(index: new.index)
    }
    unlockCached(page)
    put(new)
    guard isFree else { throw .EBUSY }
  }

  /// Moves bytes and state of an unmapped, locked page to a new one, which is locked with it
  /// (`migrate_folio`).
  private func moveContents(_ old: Int, to new: Int) {
    _ = tryLock(PFN(UInt64(new)))
    ram.copy(
      from: ram, at: old << PageSize.shift, to: new << PageSize.shift, length: PageSize.bytes)
    if pages[old].flags.contains(.swapCache) { _ = moveSwapCache(from: old, to: new) }
    groups?.move(from: old, to: new)
    pages[new].anonymous = pages[old].anonymous
    pages[new].flags.formUnion(pages[old].flags.intersection(.migrating))
  }
}
