public import Base
import KernelRuntime

extension Userfault {
  /// Moves pages from one range to empty places of another, without copying (`UFFDIO_MOVE`); the
  /// answer is as for ``copy(_:_:isProtected:wakes:)``.
  ///
  /// - `EINVAL`: not page aligned or empty; the ranges overlap; or a mapping on either side isn't
  ///   private, anonymous and as writable and locked as the other, or the target isn't registered
  /// - `ENOENT`: an empty place in the source, unless `allowsHoles`
  /// - `EEXIST`: a place of the target is filled
  /// - `EBUSY`: a page that another process shares, or that is pinned or locked
  /// - `EFAULT`: a page on a device or with a memory error
  /// - `EAGAIN`: an event waits to be read, or a migration has the page
  @discardableResult
  public func move(
    from source: VirtualRange, to start: VirtualAddress, allowsHoles: Bool = false,
    wakes: Bool = true
  ) async throws(KernelError) -> Int {
    guard !source.isEmpty, source.isPageAligned, start.isPageAligned else { throw .EINVAL }
    let target = VirtualRange(start: start, bytes: source.bytes)
    guard !target.overlaps(source) else { throw .EINVAL }
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    guard changing == 0 else { throw .EAGAIN }
    guard let from = space.find(source.start), from.range.contains(source),
      let to = space.find(start), to.range.contains(target), to.userfault === self,
      from.isAnonymous, to.isAnonymous, from.protection == to.protection,
      from.protection.contains(.write),
      from.flags.contains(.locked) == to.flags.contains(.locked)
    else { throw .EINVAL }
    await space.splitHugePages(in: source)
    space.manager.drainLRU()
    let event = NotifierEvent(.clear, source)
    await space.invalidateStart(event)
    defer { space.invalidateEnd(event) }
    var moved = 0
    do throws(KernelError) {
      for page in 0..<source.pages {
        let step = UInt64(page) << 12
        try space.moveEntry(from, source.start + step, to, start + step, allowsHoles)
        moved += 1
      }
    } catch {
      if moved == 0 { throw error }
    }
    if wakes { wakeFaults(VirtualRange(start: start, pages: moved)) }
    return moved
  }
}

extension AddressSpace {
  /// Splits the huge pages of a range into base pages, which can move one by one; one that can't be
  /// split stays, and is busy.
  fileprivate func splitHugePages(in range: VirtualRange) async {
    guard mayBeHuge else { return }
    await splitHugeEntries(in: range)
    for page in 0..<range.pages {
      let entry = entry(at: range.start + UInt64(page) << 12)
      guard entry.isPresent, !entry.isZeroPage, manager.isHuge(entry.frame) else { continue }
      try? await manager.splitFolio(entry.frame)
    }
  }

  /// Moves one entry, with its page's or its slot's place in the reverse map (`move_pages_pte`).
  fileprivate func moveEntry(
    _ from: VMA, _ source: VirtualAddress, _ to: VMA, _ target: VirtualAddress,
    _ allowsHoles: Bool
  ) throws(KernelError) {
    typealias Bit = PageTableEntry.Bit
    let entries = manager.tables.entries
    if hugeEntry(target) != nil { throw .EEXIST }
    let free =
      try makeLeafTable(target) << PageTablePool.tableShift | PageTableLevel.leafIndex(target)
    guard entries[free].isNone else { throw .EEXIST }
    guard let slot = leafSlot(source), !entries[slot].isNone else {
      if allowsHoles { return }
      throw .ENOENT
    }
    let entry = entries[slot]
    let place = AnonymousPlace(
      region: prepareRegion(to).number, index: to.index(of: target))
    var moved = entry.without(Bit.userfaultWP)
    switch entry.kind {
    case nil where entry.isZeroPage:
      moved = .zeroPage
    case nil:
      let pfn = entry.frame.index
      let record = manager.pages[pfn]
      guard record.mappings == 1, record.flags.contains(.exclusive), record.extra == 0,
        record.anonymous.isAnonymous,
        record.flags.isDisjoint(with: [.locked, .large])
      else { throw .EBUSY }
      manager.pages[pfn].anonymous = place
      if record.flags.contains(.swapCache) {
        manager.swapArea.slots[Int(manager.swapArea.ofPage[pfn])].place = place
      }
      moved = moved.with(Bit.write | Bit.dirty | Bit.softDirty)
      flushTranslations(pages: 1)
    case .swap:
      let swapSlot = Int(entry.frame.rawValue)
      guard entry.has(Bit.exclusive) else { throw .EBUSY }
      let page = Int(manager.swapArea.slots[swapSlot].page)
      if page != 0 {
        guard !manager.pages[page].flags.contains(.locked) else { throw .EAGAIN }
        manager.pages[page].anonymous = place
      }
      manager.swapArea.slots[swapSlot].place = place
      moved = moved.with(Bit.softDirty)
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      throw .EAGAIN
    default:
      throw .EFAULT
    }
    entries[slot] = .none
    entries[free] = moved
  }
}
