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

  /// Sets every byte of a page that the CPU can reach to zero (`clear_highpage`).
  public func clear(_ pfn: PFN) {
    let (memory, place) = backing(pfn.index << PageSize.shift)
    memory.fill(0, at: place, length: PageSize.bytes)
  }

  /// Copies a page that the CPU can reach to another one (`copy_highpage`).
  public func copyPage(from source: PFN, to target: PFN) {
    let (from, at) = backing(source.index << PageSize.shift)
    let (to, place) = backing(target.index << PageSize.shift)
    to.copy(from: from, at: at, to: place, length: PageSize.bytes)
  }

  /// The memory that holds a byte of the flat physical space, and the byte's place in it.
  ///
  /// Traps for a device-private page, which the CPU can't reach (R41).
  @inline(__always)
  func backing(_ place: Int) -> (memory: MappedMemory, place: Int) {
    place < ram.count ? (ram, place) : coherentBacking(place)
  }

  private func coherentBacking(_ place: Int) -> (memory: MappedMemory, place: Int) {
    let pfn = PFN(UInt64(place >> PageSize.shift))
    guard let map = devices.pagemap(of: pfn), let memory = map.memory else {
      invariantFailed("the CPU can't reach page \(pfn) (R41)")
    }
    return (memory, place - map.range.start.index << PageSize.shift)
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
