public import Base
import KernelRuntime

extension MappedFile {
  /// Brings the disk up to date (`filemap_write_and_wait`, `msync(MS_SYNC)`).
  ///
  /// Before a page is written, every mapping loses the right to write, so that the next write is
  /// noticed. `EIO` when the disk refused a page, which stays dirty; the others are written.
  public func writeBack() async throws(KernelError) {
    guard kind == .regular else { return }
    var failure: KernelError?
    var next: UInt64 = 0
    while let (index, pfn) = cache.first(in: next..<UInt64.max) {
      next = index + 1
      guard manager.isDirty(pfn) else { continue }
      manager.get(pfn)
      await manager.lock(pfn)
      if holds(pfn, index) && manager.isDirty(pfn) {
        do throws(KernelError) {
          try await writePage(pfn, index)
        } catch {
          failure = error
        }
      }
      manager.unlock(pfn)
      manager.put(pfn)
    }
    if let failure { throw failure }
  }

  private func writePage(_ pfn: PFN, _ index: UInt64) async throws(KernelError) {
    await makeClean(pfn)
    manager.pages[pfn.index].flags.remove(.dirty)
    await manager.kernel.point()
    do throws(KernelError) {
      try manager.failures.check(.fileWrite)
    } catch {
      markDirty(pfn)
      throw error
    }
    var bytes = manager.ram.bytes(at: pfn.index << PageSize.shift, count: PageSize.bytes)
    // A mapping may have written beyond the end; that never reaches the disk.
    let start = index << UInt64(PageSize.shift)
    let kept = size > start ? Int(min(size - start, UInt64(PageSize.bytes))) : 0
    for place in kept..<PageSize.bytes { bytes[place] = 0 }
    blocks[index] = bytes
  }

  /// Takes the right to write from every shared mapping of a page (`folio_mkclean`).
  ///
  /// LOCKING: the page's lock held.
  private func makeClean(_ pfn: PFN) async {
    // A mapping that moves while a mirror sleeps is met in the next round.
    var found = true
    while found {
      found = false
      for (vma, space, address) in manager.places(of: pfn.index) {
        guard vma.flags.contains(.shared), let slot = space.leafSlot(address),
          isWritable(slot, pfn)
        else { continue }
        found = true
        let event = NotifierEvent(.protectionPage, VirtualRange(start: address, pages: 1))
        await space.invalidateStart(event)
        if let slot = space.leafSlot(address), isWritable(slot, pfn) {
          typealias Bit = PageTableEntry.Bit
          let entries = manager.tables.entries
          entries[slot] = entries[slot].without(Bit.write | Bit.dirty)
          space.flushTranslations(pages: 1)
        }
        space.invalidateEnd(event)
      }
    }
  }

  private func isWritable(_ slot: Int, _ pfn: PFN) -> Bool {
    let entry = manager.tables.entries[slot]
    return entry.isPresent && entry.frame == pfn && (entry.isWritable || entry.isDirty)
  }

  /// The bytes that the disk holds; what was not written back is not among them.
  public func stored(_ offset: UInt64, count: Int) -> [UInt8] {
    (0..<UInt64(count)).map { step in
      let here = offset + step
      return blocks[here >> UInt64(PageSize.shift)]?[Int(here & UInt64(PageSize.bytes - 1))] ?? 0
    }
  }

  /// Frees the cached pages that nobody maps, holds or dirtied; how many
  /// (`invalidate_mapping_pages`).
  @discardableResult
  public func dropCleanPages() -> Int {
    guard kind == .regular else { return 0 }
    manager.drainLRU()
    var freed = 0
    var next: UInt64 = 0
    while let (index, pfn) = cache.first(in: next..<UInt64.max) {
      next = index + 1
      let record = manager.pages[pfn.index]
      guard record.references == 1, record.flags.isDisjoint(with: [.dirty, .locked]) else {
        continue
      }
      removePage(pfn, index)
      freed += 1
    }
    return freed
  }

  /// Writes back what is dirty, frees every cached page and forgets the file (`evict_inode`).
  ///
  /// `EBUSY` while a mapping of it stands; `EIO` as for ``writeBack()``, with the file as it was.
  public func evict() async throws(KernelError) {
    guard mappings.isEmpty else { throw .EBUSY }
    try await writeBack()
    guard mappings.isEmpty else { throw .EBUSY }
    await removePages(0..<UInt64.max, withBlocks: false)
    guard mappings.isEmpty else { throw .EBUSY }
    manager.files[number] = nil
  }
}
