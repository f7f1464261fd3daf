public import Base
import KernelRuntime

extension MemoryManager {
  /// Splits a huge page into 512 base pages (`split_folio`); huge entries that map it become tables
  /// first, and their mirrors are told.
  ///
  /// - `EINVAL`: no huge page
  /// - `EBUSY`: its lock is held by another, or it is the huge zero page
  /// - `EAGAIN`: somebody holds a reference beyond the mappings, such as a pin; or the point
  ///   `mm.split_folio` strikes
  ///
  /// LOCKING: takes the page's lock; the page may be the fault page of the caller, who has lock and
  /// one reference then and keeps both on the first of the base pages.
  public func splitFolio(
    _ pfn: PFN, faultPage: PFN? = nil
  ) async throws(KernelError) {
    let head = folio(pfn.index)
    guard isHuge(pfn), pages[head].references > 0 else { throw .EINVAL }
    let isFaultPage = faultPage.map { folio($0.index) == head } ?? false
    let page = PFN(UInt64(head))
    guard head != huge.zero, isFaultPage || tryLock(page) else { throw .EBUSY }
    get(page)
    let notified = mappedWhole(head)
    for (space, range) in notified { await space.invalidateStart(NotifierEvent(.clear, range)) }
    let error = splitLocked(head, extra: isFaultPage ? 2 : 1)
    for (space, range) in notified { space.invalidateEnd(NotifierEvent(.clear, range)) }
    if !isFaultPage { unlock(page) }
    put(page)
    if let error { throw error }
  }

  /// The places at which a huge entry maps the huge page.
  func mappedWhole(_ head: Int) -> [(space: AddressSpace, range: VirtualRange)] {
    places(of: head).compactMap { _, space, address in
      guard let entry = space.hugeEntry(address), !entry.isMigration, entry.frame.index == head
      else { return nil }
      return (space, HugePage.range(address))
    }
  }

  /// Splits a huge page in one step; nil when done.
  ///
  /// LOCKING: page lock held; the caller holds `extra` references, which stay on the first page
  /// with the lock. Pages that nothing maps are freed.
  func splitLocked(_ head: Int, extra: Int32) -> KernelError? {
    let mapped = entireMappings(head) + partMappings(head)
    guard pages[head].references == mapped + extra, !failures.fires(.folioSplit) else {
      huge.tally.failedSplits += 1
      return .EAGAIN
    }
    for (space, range) in mappedWhole(head) { space.splitHugeEntry(range.start) }
    breakFolio(head, extra: extra)
    return nil
  }

  /// Splits a huge page under migration: locked, unmapped, off the LRU, held by the migration with
  /// `extra` references on the first page. Each base page is then as if it had been collected
  /// alone.
  func splitUnmapped(_ head: Int, extra: Int32) -> KernelError? {
    guard pages[head].references == extra, !failures.fires(.folioSplit) else {
      huge.tally.failedSplits += 1
      return .EAGAIN
    }
    for (_, space, address) in places(of: head) {
      if let entry = space.hugeEntry(address), entry.isMigration, entry.frame.index == head {
        space.splitHugeEntry(address)
      }
    }
    for pfn in head + 1..<head + HugePage.pages { pages[pfn].flags.insert(.locked) }
    breakFolio(head, extra: extra, held: 1)
    return nil
  }

  /// Splits the huge device page of a base entry that faulted, if it is one; false when that can't
  /// be. Lock and reference of the fault, which stand for the huge page, are then the page's own.
  func splitForFault(_ pfn: PFN) -> Bool {
    guard isHuge(pfn) else { return true }
    let head = folio(pfn.index)
    guard splitLocked(head, extra: 1) == nil else { return false }
    if pfn.index != head {
      pages[pfn.index].flags.insert(.locked)
      pages[pfn.index].references += 1
      unlock(index: head)
      drop(head)
    }
    return true
  }

  /// Makes the pages of a huge page single ones; those behind the first that are neither mapped nor
  /// held are freed.
  private func breakFolio(_ head: Int, extra: Int32, held: Int32 = 0) {
    let flags = pages[head].flags
    let shared = flags.intersection([.dirty, .referenced, .uptodate, .device, .devicePrivate])
    pages[head].flags = flags.subtracting([.head, .deferred])
    pages[head].references = pages[head].mappings + extra
    let range = PFNRange(start: PFN(UInt64(head)), count: HugePage.pages)
    huge.tally.splits += 1
    for pfn in head + 1..<head + HugePage.pages {
      pages[pfn].flags = pages[pfn].flags.intersection([.exclusive, .locked, .dirty]).union(shared)
      pages[pfn].references = pages[pfn].mappings + held
      if flags.contains(.lru) && pages[pfn].mappings > 0 { lru.addNow(pfn) }
    }
    if flags.contains(.device) {
      devices.byNumber[Int(pages[head].extra)]?.operations.folioSplit(range)
    }
    for pfn in head + 1..<head + HugePage.pages where pages[pfn].references == 0 { release(pfn) }
  }

  /// A part of a huge page is mapped no more. Device memory is split at once, so that the driver
  /// gets the part back; RAM waits for pressure (`deferred_split_folio`).
  func notePartlyMapped(_ head: Int) {
    if pages[head].flags.contains(.device) {
      // The reference of the entry that went is still counted: see `removedFromFolio`.
      guard !pages[head].flags.contains(.locked) else { return }
      pages[head].flags.insert(.locked)
      _ = splitLocked(head, extra: 1)
      unlock(index: head)
    } else if !pages[head].flags.contains(.deferred) {
      pages[head].flags.insert(.deferred)
      huge.deferred.append(head)
      huge.tally.deferredSplits += 1
    }
  }

  /// Splits the huge pages with unmapped parts, which frees the parts (`deferred_split_scan`). Runs
  /// when a page can't be had otherwise.
  ///
  /// Returns the huge pages split. Those in use beyond their mappings stay.
  @discardableResult
  public func splitDeferred() -> Int {
    let heads = huge.deferred
    huge.deferred = []
    var done = 0
    for head in heads where pages[head].flags.contains(.deferred) {
      if pages[head].flags.contains(.locked) {
        huge.deferred.append(head)
        continue
      }
      pages[head].flags.insert(.locked)
      pages[head].references += 1
      if splitLocked(head, extra: 1) == nil { done += 1 } else { huge.deferred.append(head) }
      unlock(index: head)
      drop(head)
    }
    return done
  }

  /// A page for an allocation that found none; nil when nothing can be split.
  func takeAfterSplitting() -> Int? {
    huge.deferred.isEmpty || splitDeferred() == 0 ? nil : frames.take()
  }
}
