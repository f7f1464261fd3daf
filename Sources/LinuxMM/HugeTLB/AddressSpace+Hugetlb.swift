public import Base
import KernelRuntime

// Mappings of hugetlb pages. A huge page is mapped by the 512 entries of one leaf table, each of
// them special: no walker counts or moves such a page by itself. It counts in no rss, as in Linux.
extension AddressSpace {
  /// Maps huge pages of the pool, `bytes` rounded up (`mmap` with `MAP_HUGETLB`).
  ///
  /// They are promised now, so that no first touch goes without. Copies after a fork are not
  /// promised: a write that needs one gets SIGBUS (`ENOMEM`) when the pool is empty.
  ///
  /// `EINVAL` for no bytes or an address that isn't aligned to 2 MiB; `ENOMEM` when the pool has
  /// too few pages or the process no room; `EEXIST` when something is mapped there.
  public func mapHugetlb(
    bytes: UInt64, _ protection: Protection, shared: Bool = false, at: VirtualAddress? = nil
  ) async throws(KernelError) -> VirtualAddress {
    let size = UInt64(HugePage.bytes)
    guard bytes > 0, at.map({ $0.isAligned(to: size) }) ?? true else { throw .EINVAL }
    guard bytes <= VirtualRange.user.bytes, !isExiting else { throw .ENOMEM }
    let count = Int((bytes + size - 1) / size)
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    let range = try findPlace(UInt64(count) * size, at)
    guard manager.hugetlb.free.count - manager.hugetlb.reserved >= count else { throw .ENOMEM }
    manager.hugetlb.reserved += count
    let vma = VMA(
      self, range, protection, shared ? [.hugetlb, .shared] : .hugetlb, "", pageOffset: 0)
    let memory = HugetlbMemory(reserving: count)
    memory.users = 1
    vma.hugetlb = memory
    insert(vma)
    return range.start
  }

  /// Whether an end of `range` would cut a hugetlb page in two, which nothing may
  /// (`hugetlb_vm_op_split`).
  func splitsHugetlb(_ range: VirtualRange) -> Bool {
    [range.start, range.end].contains {
      $0 != HugePage.base($0) && find($0)?.flags.contains(.hugetlb) == true
    }
  }

  /// Serves a fault in a hugetlb mapping (`hugetlb_fault`).
  ///
  /// - Parameter slot: the entry of `address`, in a leaf table that maps one huge page.
  func faultHugetlb(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, write: Bool
  ) async -> FaultStep {
    let entries = manager.tables.entries
    let first = slot & ~HugePage.mask
    let old = entries[first]
    let isShared = vma.flags.contains(.shared)
    tally.minorFaults += 1
    guard old.isNone else {
      return write ? await breakHugetlb(vma, address, first, old) : .done
    }
    let index = (vma.index(of: address.pageBase)) >> UInt64(HugePage.order)
    if isShared, let page = vma.hugetlb?.pages[index] {
      manager.pages[page.index].references += 1
      installHugetlb(vma, first, page.index, write: write)
      return .done
    }
    guard let head = manager.takeHugetlb(for: vma.hugetlb) else {
      return .failed(.sigbus(address, .ENOMEM))
    }
    manager.clearHuge(PFN(UInt64(head)))
    if isShared {
      vma.hugetlb?.pages[index] = PFN(UInt64(head))
      manager.pages[head].references += 1
    }
    installHugetlb(vma, first, head, write: write)
    return .done
  }

  /// A write to a huge page that others may see (`hugetlb_wp`).
  private func breakHugetlb(
    _ vma: VMA, _ address: VirtualAddress, _ first: Int, _ old: PageTableEntry
  ) async -> FaultStep {
    let head = old.frame.index
    if vma.flags.contains(.shared) || manager.pages[head].references == 1 {
      installHugetlb(vma, first, head, write: true)
      return .done
    }
    guard let copy = manager.takeHugetlb(for: vma.hugetlb) else {
      return .failed(.sigbus(address, .ENOMEM))
    }
    manager.ram.copy(
      from: manager.ram, at: head << PageSize.shift, to: copy << PageSize.shift,
      length: HugePage.bytes)
    let event = NotifierEvent(.clear, HugePage.range(address))
    await invalidateStart(event)
    // While the mirrors slept another task may have been first.
    if manager.tables.entries[first] == old {
      installHugetlb(vma, first, copy, write: true)
      flushTranslations(pages: HugePage.pages)
      tally.copiesOnWrite += 1
      manager.putHugetlb(head)
    } else {
      manager.putHugetlb(copy)
    }
    invalidateEnd(event)
    return .done
  }

  private func installHugetlb(_ vma: VMA, _ first: Int, _ head: Int, write: Bool) {
    typealias Bit = PageTableEntry.Bit
    var bits = Bit.special | Bit.huge | Bit.young
    if write { bits |= Bit.write | Bit.dirty | Bit.softDirty }
    for part in 0..<HugePage.pages {
      manager.tables.entries[first + part] = .present(PFN(UInt64(head + part)), bits)
    }
  }
}

extension PageTableEntry {
  /// The first page of a hugetlb page, in the first of its 512 entries; nil in all others.
  var hugetlbHead: Int? {
    has(Bit.present | Bit.special | Bit.huge) && frame.index & HugePage.mask == 0
      ? frame.index : nil
  }
}
