import Base
import KernelRuntime

extension AddressSpace {
  /// Shares the huge entry around `address` with a child at a fork (`copy_huge_pmd`): both map the
  /// page read-only from then on.
  ///
  /// False when there is none, or when it had to be split because the page is pinned: then the base
  /// entries are to be copied. `ENOMEM` when the child can't have its tables.
  ///
  /// LOCKING: both `mmapLock`s held for writing; the parent's mirrors have been told; the child's
  /// mapping is in its place and in the region of the parent's.
  func copyHugeEntry(
    _ address: VirtualAddress, to child: AddressSpace
  ) throws(KernelError) -> Bool {
    typealias Bit = PageTableEntry.Bit
    guard let entry = hugeEntry(address), let slot = upperSlot(address) else { return false }
    let pages = manager.pages
    let head = entry.frame.index
    if entry.isPresent, pages[head].flags.contains(.exclusive), manager.isPinned(head) {
      splitHugeEntry(address)
      return false
    }
    let target = try child.makeUpperSlot(address)
    let table = try child.takeSpareTable()
    if entry.isHugeZero {
      pages[head].references += 1
      child.install(entry, target, spare: table)
      return true
    }
    child.tally.residentPages += HugePage.pages
    var copy = entry.without(Bit.write)
    if entry.isMigration {
      copy = .absent(
        .migrationRead, entry.frame, entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
    } else {
      if entry.isDevicePrivate {
        child.tally.devicePages += HugePage.pages
        copy = .absent(.deviceRead, entry.frame, entry.rawValue & Bit.software)
      } else {
        flushTranslations(pages: HugePage.pages)
      }
      pages[head].references += 1
      manager.countEntireMappings(head, 1)
      pages[head].flags.remove(.exclusive)
    }
    manager.tables.entries[slot] = copy
    child.install(copy.isPresent ? copy.without(Bit.young) : copy, target, spare: table)
    return true
  }

  /// Moves the huge entry at `from` to `to`, both aligned to 2 MiB (`move_huge_pmd`).
  ///
  /// False when there is none or the place is taken by a table: then base entries are to be moved,
  /// after ``splitHugeEntries(in:)``. `ENOMEM` when a table can't be had.
  ///
  /// LOCKING: `mmapLock` held for writing; the mirrors have been told.
  func moveHugeEntry(
    _ from: VirtualAddress, _ to: VirtualAddress
  ) throws(KernelError) -> Bool {
    guard HugePage.base(from) == from, HugePage.base(to) == to, let entry = hugeEntry(from),
      let old = upperSlot(from)
    else { return false }
    let slot = try makeUpperSlot(to)
    guard manager.tables.entries[slot].isNone else { return false }
    manager.tables.entries[old] = .none
    manager.tables.entries[slot] = entry.with(PageTableEntry.Bit.softDirty)
    if entry.isPresent { flushTranslations(pages: HugePage.pages) }
    return true
  }
}
