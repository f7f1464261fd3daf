public import Base
import KernelRuntime

// A device that computes on RAM with atomics of its own needs the page alone: the CPU's entry is
// replaced, so that a touch of the CPU faults and revokes the device's access first.
//
// A page under exclusive access keeps its place, its reference and its map count (as Linux does
// since 6.15; 6.12 takes the map count away and gives it back); it can't migrate meanwhile. Only
// coherent memory that its own driver empties, or that is pinned for long, is taken back first.
extension AddressSpace {
  /// Takes pages of anonymous memory for a device alone (`make_device_exclusive_range`).
  ///
  /// Each page is faulted in for writing. The pages from the first on that could be had are
  /// returned, nil for one that somebody else had locked or changed meanwhile, that is not
  /// anonymous, or part of a huge page that can't be split. Those returned are locked and
  /// referenced: the device's access lasts at least until the caller has programmed it and calls
  /// ``unlock`` and ``put`` (R47); it does so inside a notifier's critical section.
  ///
  /// Errors of the first page as of ``getUserPages(_:pages:_:)``; `EINVAL` for ends that aren't
  /// page aligned, `EOPNOTSUPP` where the range begins in a hugetlb mapping.
  ///
  /// LOCKING: `mmapLock` held by the caller.
  public func makeDeviceExclusive(
    _ range: VirtualRange, owner: PagemapOwner?
  ) async throws(KernelError) -> [PFN?] {
    await kernel.point()
    invariant(
      mmapLock.isHeldOrSharedByCurrent, "makeDeviceExclusive without the mmap lock of \(name)")
    guard range.isPageAligned else { throw .EINVAL }
    // A page of the pool can't be split (`FOLL_SPLIT_PMD`).
    if find(range.start)?.flags.contains(.hugetlb) == true { throw .EOPNOTSUPP }
    for page in 0..<range.pages {
      await splitForDevice(range.start + UInt64(page) << UInt64(PageSize.shift))
    }
    var taken: [PFN?] = []
    for page in 0..<range.pages {
      let address = range.start + UInt64(page) << UInt64(PageSize.shift)
      let entry = entry(at: address)
      let pfn: PFN
      if entry.kind == .exclusiveWrite {
        // A device's from an earlier try. To give it back to the CPU first would tell the caller's
        // own mirror of a change, which would so begin again for ever, as in 6.12.
        pfn = entry.frame
        manager.get(pfn)
      } else {
        var got = await holdLocked(.reference, address, 1, .write, mayDropLock: false)
        if let head = got.pfns.first, manager.isHuge(head) {
          // The fault itself brought a huge page.
          manager.put(head)
          await splitForDevice(address)
          got = await holdLocked(.reference, address, 1, .write, mayDropLock: false)
        }
        guard let first = got.pfns.first else {
          if taken.isEmpty, let failure = got.failure { throw failure.error }
          break
        }
        pfn = first
      }
      guard !manager.isHuge(pfn), manager.tryLock(pfn) else {
        manager.put(pfn)
        taken.append(nil)
        continue
      }
      if await replaceByExclusive(address, pfn, owner) {
        taken.append(pfn)
      } else {
        // Neither lock nor reference may outlive the attempt (N16).
        manager.unlock(pfn)
        manager.put(pfn)
        taken.append(nil)
      }
    }
    return taken
  }

  /// Splits the huge page at an address: its parts can't be had one by one (`FOLL_SPLIT_PMD`).
  private func splitForDevice(_ address: VirtualAddress) async {
    let entry = entry(at: address)
    if entry.isPresent, manager.isHuge(entry.frame) {
      try? await manager.splitFolio(entry.frame)
    }
    await splitHugeEntries(in: VirtualRange(start: address.pageBase, pages: 1))
  }

  /// Replaces one present entry (`folio_make_device_exclusive`); false when the page isn't
  /// anonymous, or the entry no longer maps it for writing.
  private func replaceByExclusive(
    _ address: VirtualAddress, _ pfn: PFN, _ owner: PagemapOwner?
  ) async -> Bool {
    typealias Bit = PageTableEntry.Bit
    let pages = manager.pages
    guard pages[pfn.index].anonymous.isAnonymous else { return false }
    let event = NotifierEvent(
      .exclusive, VirtualRange(start: address, pages: 1), owner: owner)
    await invalidateStart(event)
    defer { invalidateEnd(event) }
    // The mirrors may have slept: look now.
    guard let slot = leafSlot(address) else { return false }
    let entry = manager.tables.entries[slot]
    guard entry.frame == pfn else { return false }
    if entry.kind == .exclusiveWrite { return true }
    guard entry.isPresent, entry.has(Bit.write) else { return false }
    flushTranslations(pages: 1)
    if entry.isDirty { pages[pfn.index].flags.insert(.dirty) }
    manager.tables.entries[slot] = .absent(
      .exclusiveWrite, pfn, entry.rawValue & Bit.software)
    return true
  }

  /// A CPU touch of a page that a device uses alone: the device is told to stop, then the CPU gets
  /// the page back (`remove_device_exclusive_entry`).
  func faultExclusive(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep {
    let pfn = entry.frame
    // LOCKING: the reference is taken under the page-table lock in which the entry was read;
    // without it the page could be freed while we sleep for its lock (M19).
    manager.get(pfn)
    await manager.lock(pfn)
    let event = NotifierEvent(.exclusive, VirtualRange(start: address.pageBase, pages: 1))
    await invalidateStart(event)
    if manager.tables.entries[slot] == entry {
      manager.tables.entries[slot] = entry.restored(vma.protection)
    }
    manager.unlock(pfn)
    manager.put(pfn)
    invalidateEnd(event)
    tally.minorFaults += 1
    return .done
  }

  /// Gives the CPU an exclusive page back without a sleep, for a caller that has told the mirrors
  /// of a larger change already (`try_restore_exclusive_pte`). False when the page is locked, that
  /// is, its device is just being programmed.
  func restoreExclusive(
    _ vma: VMA, _ table: FlatBlock<PageTableEntry>, _ slot: Int
  ) -> Bool {
    let entry = table[slot]
    invariant(entry.isDeviceExclusive, "\(entry) is no device-exclusive entry")
    guard !manager.isLocked(entry.frame) else { return false }
    table[slot] = entry.restored(vma.protection)
    return true
  }
}

extension MemoryManager {
  /// Takes a page back from the device that uses it alone, whose mirrors are told.
  ///
  /// LOCKING: the page's lock held.
  func revokeExclusive(_ pfn: Int) async {
    for (vma, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address), tables.entries[slot].isDeviceExclusive,
        tables.entries[slot].frame.index == pfn
      else { continue }
      let event = NotifierEvent(.exclusive, VirtualRange(start: address, pages: 1))
      await space.invalidateStart(event)
      // The mirrors may have slept: look again.
      if let slot = space.leafSlot(address) {
        let entry = tables.entries[slot]
        if entry.isDeviceExclusive && entry.frame.index == pfn {
          tables.entries[slot] = entry.restored(vma.protection)
        }
      }
      space.invalidateEnd(event)
    }
  }
}

extension PageTableEntry {
  /// Whether the entry stands for a page that a device uses alone.
  var isDeviceExclusive: Bool { kind == .exclusiveRead || kind == .exclusiveWrite }

  /// The entry that maps the page for the CPU again (`restore_exclusive_pte`).
  fileprivate func restored(_ protection: Protection) -> PageTableEntry {
    var bits = rawValue & Bit.software
    if kind == .exclusiveWrite && protection.contains(.write) {
      bits |= Bit.write | Bit.dirty | Bit.softDirty
    }
    if protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
    return .present(frame, bits)
  }
}
