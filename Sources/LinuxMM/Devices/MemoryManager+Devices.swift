public import Base
import KernelRuntime

extension MemoryManager {
  /// Reserves physical address space for device memory (`request_free_mem_region`).
  ///
  /// `EINVAL` for no bytes, `ERANGE` when no free range is long enough; passes
  /// `mm.request_free_mem_region`.
  public func requestFreeMemRegion(bytes: UInt64, name: String) throws(KernelError) -> PFNRange {
    guard bytes > 0 else { throw .EINVAL }
    try kernel.failures.check(.memRegion)
    let count = PageSize.pages(forBytes: bytes)
    guard count <= UInt64(devicePages.count),
      let start = devices.findRoom(Int(count), in: devicePages)
    else { throw .ERANGE }
    let range = PFNRange(start: start, count: Int(count))
    devices.insert(range, name: name)
    return range
  }

  /// Gives a reserved range back (`release_mem_region`); no pagemap may cover it any more.
  public func releaseMemRegion(_ range: PFNRange) {
    invariant(!devices.hasPagemap(in: range), "\(range) released while it carries a pagemap")
    invariant(devices.remove(range), "\(range) was not requested")
  }

  /// The reserved ranges with their names, by address (`/proc/iomem`).
  public var memRegions: [(range: PFNRange, name: String)] { devices.regions }

  /// Gives the range of `pagemap` page metadata (`memremap_pages`).
  ///
  /// - `EINVAL`: an empty range (R35), a pagemap that is mapped already, or coherent memory without
  ///   its bytes or with fewer than the range has
  /// - `ENXIO`: the range overlaps RAM
  /// - `ERANGE`: the range lies beyond the physical address space
  /// - `ENOMEM`: it overlaps another pagemap; or `mm.memremap_pages` strikes
  public func memremap(_ pagemap: DevicePagemap) throws(KernelError) {
    let range = pagemap.range
    guard range.count > 0, pagemap.state == .unmapped else { throw .EINVAL }
    if pagemap.kind == .deviceCoherent {
      guard let memory = pagemap.memory, memory.count >= range.count << PageSize.shift
      else { throw .EINVAL }
    }
    guard range.start >= devicePages.start else { throw .ENXIO }
    guard range.end <= devicePages.end else { throw .ERANGE }
    guard !devices.hasPagemap(in: range) else { throw .ENOMEM }
    kernel.mightAllocate()
    try kernel.failures.check(.memremap)
    devices.insert(pagemap)
    willWriteRecords(pagemap.range.start.index..<pagemap.range.end.index)
    pagemap.uses = 0
    pagemap.drained = WaitQueue(kernel, "unmapping of pagemap \(range)")
    pagemap.state = .live
    kernel.trace.record(.memremap, range.start.rawValue, UInt64(range.count))
  }

  /// Takes the page metadata away (`memunmap_pages`).
  ///
  /// From the call on no page of it can be handed out or looked up (G01, R38); sleeps until every
  /// page is free (R40), so the driver evicts first.
  public func memunmap(_ pagemap: DevicePagemap) async {
    await kernel.point()
    invariant(pagemap.state == .live, "memunmap of a pagemap that is not mapped")
    pagemap.state = .dying
    if let drained = pagemap.drained {
      await drained.wait { pagemap.uses == 0 }
    }
    kernel.trace.record(.memunmap, pagemap.range.start.rawValue, UInt64(pagemap.range.count))
    devices.remove(pagemap)
    pagemap.drained = nil
    pagemap.state = .unmapped
    forgetRecords(pagemap.range)
  }

  /// Leaves the records as they were before the first use.
  private func forgetRecords(_ range: PFNRange) {
    let stride = MemoryLayout<PageRecord>.stride
    let low = recordsOffset + range.start.index * stride
    let high = recordsOffset + range.end.index * stride
    let firstPage = (low + PageSize.bytes - 1) & ~(PageSize.bytes - 1)
    let lastPage = high & ~(PageSize.bytes - 1)
    guard firstPage < lastPage else {
      metadata.fill(0, at: low, length: high - low)
      return
    }
    metadata.fill(0, at: low, length: firstPage - low)
    metadata.discard(at: firstPage, count: lastPage - firstPage)
    metadata.fill(0, at: lastPage, length: high - lastPage)
  }

  /// The live pagemap of a device page, with a reference that ``putPagemap(_:)`` drops; nil for
  /// other pages and once unmapping has begun (`get_dev_pagemap`, G01).
  public func getPagemap(_ pfn: PFN) -> DevicePagemap? {
    guard let pagemap = devices.pagemap(of: pfn), pagemap.state == .live else { return nil }
    pagemap.uses += 1
    return pagemap
  }

  /// Drops a reference of ``getPagemap(_:)`` (`put_dev_pagemap`).
  public func putPagemap(_ pagemap: DevicePagemap) {
    dropUses(of: pagemap, 1)
  }

  func dropUses(of pagemap: DevicePagemap, _ count: Int) {
    invariant(pagemap.uses >= count, "put of pagemap \(pagemap.range) without a reference")
    pagemap.uses -= count
    if pagemap.uses == 0 && pagemap.state == .dying { pagemap.drained?.wakeAll() }
  }

  /// The pagemap that covers the page, mapped or being unmapped; nil for RAM.
  public func pagemap(of pfn: PFN) -> DevicePagemap? {
    isSystemPage(pfn) ? nil : devices.pagemap(of: pfn)
  }

  /// Whether the page is device-private memory (`is_device_private_page`).
  public func isDevicePrivate(_ pfn: PFN) -> Bool {
    if isSystemPage(pfn) { return false }
    if pages[pfn.index].flags.contains(.devicePrivate) { return true }
    return devices.pagemap(of: pfn)?.kind == .devicePrivate
  }

  /// Whether the page is coherent device memory (`is_device_coherent_page`).
  public func isDeviceCoherent(_ pfn: PFN) -> Bool {
    if isSystemPage(pfn) { return false }
    return devices.pagemap(of: pfn)?.kind == .deviceCoherent
  }

  /// The driver's own word of a device page (`zone_device_data`).
  public func deviceData(_ pfn: PFN) -> UInt64 {
    invariant(!isSystemPage(pfn), "page \(pfn) is no device page")
    return pages[pfn.index].links
  }

  /// Sets the driver's own word of a device page.
  public func setDeviceData(_ pfn: PFN, _ value: UInt64) {
    invariant(!isSystemPage(pfn), "page \(pfn) is no device page")
    pages[pfn.index].links = value
  }

  /// Hands a free device page out: one reference, locked (`zone_device_page_init`).
  ///
  /// Traps when the page is in use or its pagemap is being unmapped (R38): the driver must have
  /// stopped handing out pages before it calls ``memunmap(_:)``.
  public func initDevicePage(_ pfn: PFN) { initDevicePages(PFNRange(start: pfn, count: 1)) }

  /// As ``initDevicePage(_:)``, for pages in a row of one pagemap.
  public func initDevicePages(_ range: PFNRange) {
    let known = Int(pages[range.start.index].extra)
    let pagemap = known != 0 ? devices.byNumber[known] : devices.pagemap(of: range.start)
    guard let pagemap, pagemap.state == .live, range.end <= pagemap.range.end else {
      invariantFailed("\(range) handed out without a live pagemap")
    }
    let number = pagemap.number
    var flags: PageFlags = [.device, .locked, .uptodate]
    if pagemap.kind == .devicePrivate { flags.insert(.devicePrivate) }
    let pages = pages
    let isTraced = kernel.trace.isOn
    for pfn in range.start.index..<range.end.index {
      let record = pages[pfn]
      invariant(
        record.references == 0 && record.flags.subtracting(.free).isEmpty && record.mappings == 0,
        "device page \(pfn) handed out while in use")
      pages[pfn] = PageRecord(
        flags: flags, references: 1, mappings: 0, extra: number, anonymous: .none,
        links: record.links)
      if isTraced { kernel.trace.record(.devicePageInit, UInt64(pfn)) }
    }
    pagemap.uses += range.count
    tally.devicePageInits &+= UInt64(truncatingIfNeeded: range.count)
  }

  /// The last reference went: the driver gets the page back.
  func releaseDevicePage(_ pfn: Int) {
    var releaser = DevicePageReleaser(self)
    releaser.release(pfn)
    releaser.finish()
  }
}

/// Gives device pages back to their drivers, neighbours of one pagemap at little cost each.
struct DevicePageReleaser {
  private let manager: MemoryManager
  private let pages: FlatView<PageRecord>
  private let isTraced: Bool
  private let groups: MemoryGroups?
  private var pagemap: DevicePagemap?
  private var operations: (any DevicePagemapOperations)?
  private var number: UInt32 = 0
  /// Pages of `pagemap` given back so far.
  private var count = 0
  /// Pages in a row of which the driver is still to be told.
  private var first = 0
  private var untold = 0

  init(_ manager: MemoryManager) {
    self.manager = manager
    pages = manager.pages
    isTraced = manager.kernel.trace.isOn
    groups = manager.groups
  }

  /// Gives one page back, in a clean state (R37, R39, M17).
  mutating func release(_ pfn: Int) {
    let record = pages[pfn]
    if record.extra != number { turn(to: record.extra, pfn) }
    if let groups { groups.uncharge(pfn) }
    pages[pfn] = PageRecord(
      flags: .free, references: 0, mappings: 0, extra: record.extra, anonymous: .none,
      links: record.links)
    if isTraced { manager.kernel.trace.record(.devicePageFree, UInt64(pfn)) }
    count += 1
    if pfn != first + untold {
      tell()
      first = pfn
    }
    untold += 1
  }

  private mutating func tell() {
    guard untold > 0 else { return }
    operations?.pagesFree(PFNRange(start: PFN(UInt64(first)), count: untold))
    untold = 0
  }

  private mutating func turn(to next: UInt32, _ pfn: Int) {
    finish()
    guard let map = manager.devices.byNumber[Int(next)] else {
      invariantFailed("device page \(pfn) without a pagemap")
    }
    number = next
    pagemap = map
    operations = map.operations
  }

  /// Drops the pages' references of their pagemap, only after the driver's callbacks (G05).
  mutating func finish() {
    guard let pagemap, count > 0 else { return }
    tell()
    manager.tally.devicePageFrees &+= UInt64(truncatingIfNeeded: count)
    manager.dropUses(of: pagemap, count)
    count = 0
  }
}
