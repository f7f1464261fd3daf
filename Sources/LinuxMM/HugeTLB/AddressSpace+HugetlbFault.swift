import Base
import KernelRuntime

extension AddressSpace {
  /// Serves a fault in a hugetlb mapping (`hugetlb_fault`).
  ///
  /// - Parameter slot: the entry of `address`, in a leaf table that maps one huge page.
  func faultHugetlb(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, write: Bool
  ) async -> FaultStep {
    let first = slot & ~HugePage.mask
    let old = manager.tables.entries[first]
    tally.minorFaults += 1
    guard old.isNone else {
      let isDone = !write || old.has(PageTableEntry.Bit.write)
      return isDone ? .done : await breakHugetlb(vma, address, first, old)
    }
    // A page of zeroes would hide that the bytes of the time of the fork are gone.
    guard !vma.flags.contains(.hugetlbTaken) else { return .failed(.sigbus(address, .ENOMEM)) }
    let index = vma.hugetlbIndex(address)
    let isShared = vma.flags.contains(.shared)
    if let file = vma.hugetlbFile {
      guard index < UInt64(file.hugePages) else { return .failed(.sigbus(address, .EINVAL)) }
      if let head = file.pages[index]?.index ?? (isShared ? file.fill(index) : nil) {
        manager.pages[head].references += 1
        installHugetlb(first, head, write: isShared && vma.protection.contains(.write))
        let entry = manager.tables.entries[first]
        return write && !isShared ? await breakHugetlb(vma, address, first, entry) : .done
      }
    }
    let promised = vma.hugetlbPromise?.take(index) ?? false
    guard !isShared, let head = manager.takeHugetlb(promised: promised) else {
      return .failed(.sigbus(address, .ENOMEM))
    }
    manager.clearHuge(PFN(UInt64(head)))
    installOwnHugetlb(vma, address, first, head, write: write)
    return .done
  }

  /// Gives the process a page of its own in place of one that others may see: for a write, or with
  /// `unshare` for somebody who holds the page and only reads (`hugetlb_wp`).
  ///
  /// Mappings decide, not references: a page that somebody merely holds is written in place, and
  /// its holder sees it. Linux does so because a copy could fail for the want of huge pages.
  func breakHugetlb(
    _ vma: VMA, _ address: VirtualAddress, _ first: Int, _ old: PageTableEntry,
    unshare: Bool = false
  ) async -> FaultStep {
    let head = old.frame.index
    if vma.flags.contains(.shared) {
      installBits(first, head, write: true)
      return .done
    }
    if reuseHugetlb(first, head, unshare: unshare) { return .done }
    let isOwnersCopy =
      vma.hugetlbPromise != nil && manager.pages[head].anonymous.isAnonymous
    let index = vma.hugetlbIndex(address)
    // The promise of this place is used up; that of another would leave the other without.
    let promised = !isOwnersCopy && vma.hugetlbPromise?.take(index) == true
    guard let copy = manager.takeHugetlb(promised: promised) else {
      guard isOwnersCopy else { return .failed(.sigbus(address, .ENOMEM)) }
      await takeFromChildren(head)
      guard manager.tables.entries[first] == old else { return .done }
      return reuseHugetlb(first, head, unshare: unshare)
        ? .done : .failed(.sigbus(address, .ENOMEM))
    }
    manager.get(old.frame)
    manager.copyHugetlb(head, to: copy)
    let event = NotifierEvent(.clear, HugePage.range(address))
    await invalidateStart(event)
    // While the mirrors slept another task may have been first.
    if manager.tables.entries[first] == old {
      installOwnHugetlb(vma, address, first, copy, write: !unshare)
      flushTranslations(pages: HugePage.pages)
      tally.copiesOnWrite += 1
      manager.removeHugetlbMapping(head)
    } else {
      manager.drop(copy)
      if promised, let promise = vma.hugetlbPromise {
        promise.add(index)
        manager.hugetlb.reserved += 1
      }
    }
    invalidateEnd(event)
    manager.drop(head)
    return .done
  }

  /// Uses a page as it is when this entry alone maps it; false when others do.
  private func reuseHugetlb(_ first: Int, _ head: Int, unshare: Bool) -> Bool {
    guard manager.entireMappings(head) == 1, manager.pages[head].anonymous.isAnonymous else {
      return false
    }
    manager.pages[head].flags.insert(.exclusive)
    if !unshare { installBits(first, head, write: true) }
    return true
  }

  /// Unmaps a page from the processes that have it since a fork and were promised none
  /// (`unmap_ref_private`). They get SIGBUS there from now on.
  private func takeFromChildren(_ head: Int) async {
    for (vma, space, address) in manager.places(of: head)
    where vma.hugetlbPromise == nil && !vma.flags.contains(.shared) {
      func slot() -> Int? {
        guard let slot = space.leafSlot(address),
          manager.tables.entries[slot].hugetlbHead == head
        else { return nil }
        return slot
      }
      guard slot() != nil else { continue }
      let event = NotifierEvent(.clear, HugePage.range(address))
      await space.invalidateStart(event)
      // Its process may have exited while mirrors slept.
      if let slot = slot() {
        vma.flags.insert(.hugetlbTaken)
        space.emptyHugetlb(slot)
        manager.removeHugetlbMapping(head)
      }
      space.invalidateEnd(event)
    }
  }

  /// Maps a new page of this process alone (`hugetlb_add_new_anon_rmap`).
  private func installOwnHugetlb(
    _ vma: VMA, _ address: VirtualAddress, _ first: Int, _ head: Int, write: Bool
  ) {
    let region = prepareRegion(vma)
    manager.pages[head].anonymous = AnonymousPlace(
      region: region.number, index: vma.index(of: HugePage.base(address)))
    manager.pages[head].flags.insert(.exclusive)
    installHugetlb(first, head, write: write)
  }

  private func installHugetlb(_ first: Int, _ head: Int, write: Bool) {
    manager.countEntireMappings(head, 1)
    installBits(first, head, write: write)
  }

  /// Writes the 512 entries of one huge page.
  private func installBits(_ first: Int, _ head: Int, write: Bool) {
    typealias Bit = PageTableEntry.Bit
    var bits = Bit.special | Bit.huge | Bit.young
    if write { bits |= Bit.write | Bit.dirty | Bit.softDirty }
    bits |= manager.tables.entries[first].rawValue & Bit.noAccess
    for part in 0..<HugePage.pages {
      manager.tables.entries[first + part] = .present(PFN(UInt64(head + part)), bits)
    }
  }
}

extension MemoryManager {
  /// Copies the bytes of a huge page of RAM.
  func copyHugetlb(_ source: Int, to target: Int) {
    ram.copy(
      from: ram, at: source << PageSize.shift, to: target << PageSize.shift,
      length: HugePage.bytes)
  }
}
