public import Base
import KernelRuntime

extension AddressSpace {
  /// Forgets which pages were written (`/proc/pid/clear_refs`, 4): from now on
  /// ``isSoftDirty(_:)`` says what is written anew.
  ///
  /// Mirrors are told, but a device that may write a page goes on without a mark, as in Linux.
  public func clearSoftDirty() async {
    typealias Bit = PageTableEntry.Bit
    await mmapLock.lock()
    for vma in mappings { vma.isNew = false }
    let event = NotifierEvent(.softDirty, VirtualRange.user)
    await invalidateStart(event)
    for vma in mappings {
      forEachHugeSlot(in: vma.range) { slot, _ in
        manager.tables.entries[slot] = manager.tables.entries[slot].without(Bit.softDirty)
        flushTranslations(pages: PageTablePool.entriesPerTable)
      }
      forEachLeafTable(in: vma.range) { table, part in
        let block = manager.tables.block(table)
        let first = PageTableLevel.leafIndex(part.start)
        var flushed = 0
        for slot in first..<first + part.pages where block[slot].isSoftDirty {
          if block[slot].isPresent { flushed += 1 }
          block[slot] = block[slot].without(Bit.softDirty)
        }
        if flushed > 0 { flushTranslations(pages: flushed) }
      }
    }
    invalidateEnd(event)
    mmapLock.unlock()
  }

  /// Whether the page at `address` was written since the last ``clearSoftDirty()``, or its mapping
  /// is newer (`PM_SOFT_DIRTY` of `/proc/pid/pagemap`).
  public func isSoftDirty(_ address: VirtualAddress) -> Bool {
    if find(address)?.isNew == true { return true }
    return (hugeEntry(address) ?? entry(at: address)).isSoftDirty
  }
}
