public import Base
import KernelRuntime

extension MemoryManager {
  /// The first page of the folio that a page is part of, which is the page itself for a base page
  /// (`page_folio`).
  @inline(__always)
  func folio(_ pfn: Int) -> Int {
    pages[pfn].flags.contains(.tail) ? pfn & ~HugePage.mask : pfn
  }

  /// The first page of the folio that a page is part of (`page_folio`).
  public func folio(of pfn: PFN) -> PFN { PFN(UInt64(folio(pfn.index))) }

  /// Whether the page is part of a huge page (`folio_test_large`).
  public func isHuge(_ pfn: PFN) -> Bool {
    !pages[pfn.index].flags.isDisjoint(with: .large)
  }

  /// Huge entries that map a huge page (`folio_entire_mapcount`).
  func entireMappings(_ head: Int) -> Int32 { -pages[head + 1].references }

  /// Counts huge entries that came, or went with a negative number.
  func countEntireMappings(_ head: Int, _ change: Int32) {
    pages[head + 1].references -= change
    invariant(
      pages[head + 1].references <= 0, "huge page \(head) unmapped more often than mapped")
  }

  /// Entries of one base page each that map parts of a huge page.
  func partMappings(_ head: Int) -> Int32 {
    var sum: Int32 = 0
    for pfn in head..<head + HugePage.pages { sum += pages[pfn].mappings }
    return sum
  }

  /// A huge page of RAM: one reference, unlocked, its bytes unspecified (`alloc_hugepage`).
  ///
  /// `ENOMEM` when no 512 aligned pages in a row are free, or the point `mm.huge_page_alloc`
  /// strikes.
  public func allocateHugePage() throws(KernelError) -> PFN {
    try failures.check(.hugeAlloc)
    guard let head = frames.takeHuge() ?? takeHugeAfterSplitting() else { throw .ENOMEM }
    makeFolio(head, [])
    return PFN(UInt64(head))
  }

  private func takeHugeAfterSplitting() -> Int? {
    splitDeferred() > 0 ? frames.takeHuge() : nil
  }

  /// Makes 512 unused pages one huge page with one reference.
  func makeFolio(_ head: Int, _ flags: PageFlags, extra: UInt32 = 0) {
    for pfn in head..<head + HugePage.pages {
      let links = flags.contains(.device) ? pages[pfn].links : 0
      pages[pfn] = PageRecord(
        flags: flags.union(.tail), references: 0, mappings: 0, extra: extra, anonymous: .none,
        links: links)
    }
    pages[head].flags = flags.union(.head)
    pages[head].references = 1
  }

  /// Hands 512 free device pages, private or coherent, out as one huge page: one reference, locked
  /// (`zone_device_folio_init`).
  ///
  /// Traps as ``initDevicePages(_:)``, and when `head` isn't aligned to 512 pages.
  public func initDeviceFolio(_ head: PFN) {
    invariant(head.index & HugePage.mask == 0, "device folio at \(head), which is not aligned")
    initDevicePages(PFNRange(start: head, count: HugePage.pages))
    let record = pages[head.index]
    makeFolio(
      head.index, record.flags.intersection([.device, .devicePrivate, .uptodate]),
      extra: record.extra)
    pages[head.index].flags.insert(.locked)
  }

  /// Charges the pages of a huge page to the process's group (`mem_cgroup_charge`); false when they
  /// don't fit. Nothing is reclaimed for it: there are base pages to fall back to.
  func chargeFolio(_ head: Int, _ space: AddressSpace) -> Bool {
    guard let groups, let group = space.group else { return true }
    guard group.tryCharge(HugePage.pages) else { return false }
    for pfn in head..<head + HugePage.pages { groups.own(pfn, group) }
    return true
  }

  /// Makes a new huge page an anonymous one with one huge entry.
  func addNewAnonymousFolio(_ head: Int, _ place: AnonymousPlace) {
    setPlaces(head, place)
    countEntireMappings(head, 1)
    pages[head].flags.formUnion([.uptodate, .exclusive])
  }

  /// Where each page of a huge one belongs.
  func setPlaces(_ head: Int, _ place: AnonymousPlace) {
    for index in 0..<HugePage.pages {
      pages[head + index].anonymous =
        place == .none ? .none : AnonymousPlace(rawValue: place.rawValue + UInt64(index))
    }
  }

  /// A reference of a page behind the first is one of the huge page.
  func dropTail(_ pfn: Int) {
    invariant(pages[pfn].flags.contains(.tail), "put of page \(pfn), which is free")
    drop(folio(pfn))
  }

  /// The last reference of a huge page went: its pages are single and free.
  func releaseFolio(_ head: Int) {
    let flags = pages[head].flags
    if flags.contains(.hugetlb) { return releaseHugetlb(head) }
    invariant(
      entireMappings(head) == 0 && partMappings(head) == 0, "huge page \(head) freed while mapped")
    if flags.contains(.device) {
      var releaser = DevicePageReleaser(self)
      for pfn in head..<head + HugePage.pages { releaser.release(pfn) }
      releaser.finish()
      return
    }
    invariant(pages[head].extra == 0, "huge page \(head) freed with \(pages[head].extra) pins")
    if flags.contains(.lru) { lru.unlink(head) }
    if head == huge.zero { huge.zero = 0 }
    for pfn in head..<head + HugePage.pages { frames.give(pfn) }
  }

  /// An entry of one page of a huge page went.
  func removedFromFolio(_ pfn: Int) {
    let head = folio(pfn)
    if pages[pfn].mappings == 0 && entireMappings(head) == 0 {
      pages[pfn].flags.remove(.exclusive)
      if pages[head].references > 1 { notePartlyMapped(head) }
    }
    drop(head)
  }
}
