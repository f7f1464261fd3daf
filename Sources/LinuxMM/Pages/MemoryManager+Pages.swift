public import Base
public import KernelRuntime

extension MemoryManager {
  /// A system page with one reference, unlocked, its bytes unspecified (`alloc_page`).
  ///
  /// `ENOMEM` when RAM is full or the point `mm.page_alloc` strikes. `mode` tells the lock checks
  /// what the caller can bear.
  public func allocatePage(_ mode: AllocationMode = .mayReclaim) throws(KernelError) -> PFN {
    kernel.mightAllocate(mode)
    try failures.check(.pageAlloc)
    guard let pfn = frames.take() ?? takeAfterSplitting() else { throw .ENOMEM }
    return PFN(UInt64(pfn))
  }

  /// System pages in a row, at most `wanted` and at least one, locked and each with one reference:
  /// destinations of a migration. While a failure is armed one page at a time.
  ///
  /// Errors as ``allocatePage(_:)``.
  public func allocateLockedRun(
    upTo wanted: Int, _ mode: AllocationMode = .mayReclaim
  ) throws(KernelError) -> PFNRange {
    kernel.mightAllocate(mode)
    let isQuiet = failures.isQuiet
    if !isQuiet { try failures.check(.pageAlloc) }
    let run = frames.takeLockedRun(upTo: isQuiet ? wanted : 1)
    if isQuiet { failures.pass(.pageAlloc, times: max(1, run.count)) }
    guard !run.isEmpty else { throw .ENOMEM }
    return PFNRange(start: PFN(UInt64(run.lowerBound)), count: run.count)
  }

  /// Takes a reference of a page in use (`get_page`).
  public func get(_ pfn: PFN) {
    let pfn = folio(pfn.index)
    invariant(pages[pfn].references > 0, "get of page \(pfn), which is free")
    pages[pfn].references += 1
  }

  /// Drops a reference; the last one frees the page (`put_page`).
  public func put(_ pfn: PFN) { drop(pfn.index) }

  @inline(__always)
  func drop(_ pfn: Int) {
    let left = pages[pfn].references - 1
    // The pages of a huge page behind the first have no references of their own.
    guard left >= 0 else { return dropTail(pfn) }
    pages[pfn].references = left
    if left == 0 { release(pfn) }
  }

  @inline(__always)
  func release(_ pfn: Int) {
    let flags = pages[pfn].flags
    invariant(
      flags.isDisjoint(with: [.locked, .reserved]) && pages[pfn].mappings == 0,
      "page \(pfn) freed while locked or mapped")
    if !flags.isDisjoint(with: [.device, .head]) {
      if flags.contains(.head) { releaseFolio(pfn) } else { releaseDevicePage(pfn) }
    } else {
      invariant(pages[pfn].extra == 0, "page \(pfn) freed with \(pages[pfn].extra) pins")
      if flags.contains(.lru) { lru.unlink(pfn) }
      if flags.contains(.hwPoison) { return frames.retire(pfn) }
      frames.give(pfn)
    }
  }

  /// References of a page, pins included (`page_count`).
  public func referenceCount(_ pfn: PFN) -> Int { Int(pages[folio(pfn.index)].references) }
  /// Page-table entries that map the page (`page_mapcount`).
  public func mapCount(_ pfn: PFN) -> Int {
    Int(pages[pfn.index].mappings + (isHuge(pfn) ? entireMappings(folio(pfn.index)) : 0))
  }
  /// GUP pins of a system page.
  public func pinCount(_ pfn: PFN) -> Int {
    let record = pages[folio(pfn.index)]
    return record.flags.contains(.device) ? 0 : Int(record.extra)
  }
  /// Whether a page is dirty by its flag; entries may hold more (`PageDirty`).
  public func isDirty(_ pfn: PFN) -> Bool {
    pages[folio(pfn.index)].flags.contains(.dirty)
  }
  /// Whether a page is on the LRU list itself, not merely in a batch (`PageLRU`).
  public func isOnLRU(_ pfn: PFN) -> Bool {
    pages[folio(pfn.index)].flags.contains(.lru)
  }
  /// Whether the page is anonymous and of one mapping alone (`PageAnonExclusive`).
  public func isExclusive(_ pfn: PFN) -> Bool { pages[pfn.index].flags.contains(.exclusive) }

  /// Whether the frame is RAM.
  @inline(__always)
  public func isSystemPage(_ pfn: PFN) -> Bool { pfn.index < frames.limit }

  /// Sets every byte of a system page to zero (`clear_highpage`).
  public func clear(_ pfn: PFN) {
    invariant(isSystemPage(pfn), "the CPU can't clear \(pfn), which is no RAM")
    ram.fill(0, at: pfn.index << PageSize.shift, length: PageSize.bytes)
  }

  /// Moves this CPU's new pages to the LRU (`lru_add_drain`).
  public func drainLRU() { lru.drain(cpu: currentCPU) }

  /// Moves every CPU's new pages to the LRU; sleeps for the other CPUs (`lru_add_drain_all`).
  public func drainLRUOfAllCPUs() async {
    await kernel.point()
    tally.fullDrains += 1
    lru.drainAll()
  }
}
