import Base
import KernelRuntime

extension AddressSpace {
  /// Gives a child the huge pages of a private hugetlb mapping (`copy_hugetlb_page_range`): shared
  /// until one side writes, or a copy at once when the page is pinned.
  ///
  /// `ENOMEM` when a page table or a page for such a copy can't be had.
  ///
  /// LOCKING: both processes' `mmapLock` held for writing.
  func copyHugetlb(of vma: VMA, to child: AddressSpace) async throws(KernelError) {
    var base = vma.start
    while base < vma.end {
      if let first = leafSlot(base), manager.tables.entries[first].hugetlbHead != nil {
        let target =
          try child.makeLeafTable(base) << PageTablePool.tableShift
        try await copyHugetlb(vma, base, first, to: target, of: child)
        await kernel.point()
      }
      base += UInt64(HugePage.bytes)
    }
  }

  private func copyHugetlb(
    _ vma: VMA, _ base: VirtualAddress, _ first: Int, to target: Int, of child: AddressSpace
  ) async throws(KernelError) {
    typealias Bit = PageTableEntry.Bit
    let entries = manager.tables.entries
    guard let head = entries[first].hugetlbHead else { return }
    let record = manager.pages[head]
    var shown = head
    var bits = entries[first].rawValue & (Bit.special | Bit.huge | Bit.noAccess | Bit.dirty)
    if record.flags.contains(.exclusive) && record.extra > 0 {
      // Once shared, the next write would give the parent another page than the device has.
      guard let copy = manager.takeHugetlb(promised: false) else { throw .ENOMEM }
      manager.copyHugetlb(head, to: copy)
      // The same place in the same region: the two pages differ by their number.
      manager.pages[copy].anonymous = record.anonymous
      manager.pages[copy].flags.insert(.exclusive)
      manager.countEntireMappings(copy, 1)
      shown = copy
      bits |= Bit.softDirty
    } else {
      manager.pages[head].flags.remove(.exclusive)
      manager.pages[head].references += 1
      manager.countEntireMappings(head, 1)
      if entries[first].isWritable {
        for slot in first..<first + HugePage.pages {
          entries[slot] = entries[slot].without(Bit.write)
        }
        flushTranslations(pages: HugePage.pages)
      }
    }
    for part in 0..<HugePage.pages {
      entries[target + part] = .present(PFN(UInt64(shown + part)), bits)
    }
  }
}
