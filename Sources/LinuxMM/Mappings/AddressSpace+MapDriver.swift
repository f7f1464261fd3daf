public import Base
import KernelRuntime

// What a driver's `mmap` method does: it fills the mapping itself, and no fault does later.
extension AddressSpace {
  /// Maps frames of RAM without counting them as pages (`remap_pfn_range`, `VM_PFNMAP`).
  ///
  /// The frames stay the driver's; it keeps them until the mapping is gone. A private mapping gets
  /// a copy of a frame at the first write.
  ///
  /// `EINVAL` for no frames, frames that are no RAM, or an address that isn't page aligned;
  /// `EEXIST`, `ENOMEM` as for other mappings, with nothing mapped.
  public func mapFrames(
    _ frames: PFNRange, _ protection: Protection, shared: Bool = true, at: VirtualAddress? = nil
  ) async throws(KernelError) -> VirtualAddress {
    guard frames.count > 0, frames.end.index <= manager.systemPages else { throw .EINVAL }
    let pages = (0..<frames.count).map { frames.start + UInt64($0) }
    return try await mapDriver(pages, protection, [.special, .pfnMap], shared: shared, at: at) {
      typealias Bit = PageTableEntry.Bit
      let bits = shared && protection.contains(.write) ? Bit.special | Bit.write : Bit.special
      return .present($0, bits)
    }
  }

  /// Maps pages of a driver, each of which gets one more reference (`vm_insert_page`,
  /// `VM_MIXEDMAP`).
  ///
  /// `EINVAL` for no pages, or a page that is no system page of the driver's own; other errors as
  /// for ``mapFrames(_:_:shared:at:)``.
  public func mapPages(
    _ pages: [PFN], _ protection: Protection, at: VirtualAddress? = nil
  ) async throws(KernelError) -> VirtualAddress {
    let records = manager.pages
    let areDrivers = pages.allSatisfy {
      manager.isSystemPage($0) && records[$0.index].references > 0
        && records[$0.index].anonymous == .none && $0 != MemoryManager.zeroPage
    }
    guard !pages.isEmpty, areDrivers else { throw .EINVAL }
    return try await mapDriver(
      pages, protection, [.special, .mixedMap], shared: true, at: at
    ) {
      records[$0.index].flags.insert(.inserted)
      manager.addMapping($0.index)
      tally.count(records[$0.index], 1)
      return .present($0, protection.contains(.write) ? PageTableEntry.Bit.write : 0)
    }
  }

  /// Makes the mapping and its entries; without a table for one of them nothing is left.
  private func mapDriver(
    _ pages: [PFN], _ protection: Protection, _ flags: VMA.Flags, shared: Bool,
    at: VirtualAddress?, _ entry: (PFN) -> PageTableEntry
  ) async throws(KernelError) -> VirtualAddress {
    guard !isExiting else { throw .ENOMEM }
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    let range = try findPlace(UInt64(pages.count) << UInt64(PageSize.shift), at)
    let vma = VMA(
      self, range, protection, shared ? flags.union(.shared) : flags, "",
      pageOffset: range.start.page)
    insert(vma)
    let noAccess =
      protection.isDisjoint(with: [.read, .write]) ? PageTableEntry.Bit.noAccess : 0
    for (place, page) in pages.enumerated() {
      let address = range.start + UInt64(place) << UInt64(PageSize.shift)
      do throws(KernelError) {
        let table = try makeLeafTable(address)
        manager.tables.block(table)[PageTableLevel.leafIndex(address)] = entry(page).with(noAccess)
      } catch {
        removeMappings(range)
        throw error
      }
    }
    return range.start
  }

  /// Takes whole mappings away, after the mirrors were told or where none can have looked.
  ///
  /// LOCKING: `mmapLock` held for writing.
  func removeMappings(_ range: VirtualRange) {
    let places = isolate(range)
    for vma in mappings[places] { zap(vma.range) }
    let floor = places.lowerBound > 0 ? mappings[places.lowerBound - 1].end : VirtualAddress(0)
    let ceiling =
      places.upperBound < mappings.count
      ? mappings[places.upperBound].start : VirtualRange.user.end
    freeTables(range, floor: floor, ceiling: ceiling)
    forget(places)
  }
}
