public import Base
import KernelRuntime

extension Userfault {
  /// Protects the pages of a range against writing, or ends that and wakes who sleeps there
  /// (`UFFDIO_WRITEPROTECT`).
  ///
  /// Empty places of anonymous memory are protected only with
  /// ``Features/writeProtectUnpopulated``, those of shared memory always: another process may fill
  /// them. The protection goes with the page to a device, to swap space and back.
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned, `ENOENT` where nothing is
  /// registered for it, `EAGAIN` while an event waits to be read.
  public func protect(
    _ range: VirtualRange, _ isProtected: Bool, wakes: Bool = true
  ) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    guard changing == 0 else { throw .EAGAIN }
    let met = space.mappings.filter { $0.range.overlaps(range) }
    guard !met.isEmpty,
      met.allSatisfy({ $0.userfault === self && $0.flags.contains(.userfaultWriteProtect) })
    else { throw .ENOENT }
    for vma in met {
      guard let part = vma.range.intersection(range) else { continue }
      let marksEmpty =
        isProtected && (features.contains(.writeProtectUnpopulated) || !vma.isAnonymous)
      if marksEmpty {
        // Where a huge page is mapped there is no table yet.
        await space.splitHugeEntries(in: part)
        for page in stride(from: 0, to: part.pages, by: 1) {
          _ = try space.makeLeafTable(part.start + UInt64(page) << 12)
        }
      }
      await space.setUserfaultProtection(
        vma, part, isProtected: isProtected, marksEmpty: marksEmpty)
    }
    if !isProtected && wakes { wakeFaults(range) }
  }
}

extension AddressSpace {
  /// Sets or ends the protection of a range's entries (`uffd_wp_range`).
  ///
  /// LOCKING: `mmapLock` held.
  func setUserfaultProtection(
    _ vma: VMA, _ range: VirtualRange, isProtected: Bool, marksEmpty: Bool
  ) async {
    await splitHugeEntries(in: range)
    let event = NotifierEvent(.protectionVMA, range)
    await invalidateStart(event)
    forEachLeafTable(in: range) { table, part in
      let block = manager.tables.block(table)
      let first = PageTableLevel.leafIndex(part.start)
      var flushed = 0
      for slot in first..<first + part.pages {
        let entry = block[slot]
        let changed =
          isProtected ? entry.protected(marksEmpty: marksEmpty) : entry.unprotected
        guard changed != entry else { continue }
        block[slot] = changed
        if entry.isPresent { flushed += 1 }
      }
      if flushed > 0 { flushTranslations(pages: flushed) }
    }
    invalidateEnd(event)
  }
}

extension AddressSpace {
  /// As ``zap(_:)``, for pages that can come back from a file: their places stay protected.
  func zapKeepingProtection(_ vma: VMA, _ range: VirtualRange) {
    guard !vma.isAnonymous, vma.flags.contains(.userfaultWriteProtect) else { return zap(range) }
    var kept: [Int] = []
    forEachLeafTable(in: range) { table, part in
      let first = table << PageTablePool.tableShift | PageTableLevel.leafIndex(part.start)
      kept += (first..<first + part.pages).filter {
        manager.tables.entries[$0].isUserfaultWriteProtected
      }
    }
    zap(range)
    for slot in kept { manager.tables.entries[slot] = .protectMarker }
  }
}

extension PageTableEntry {
  /// The entry with the next write watched: nobody may write at once, neither CPU nor device.
  fileprivate func protected(marksEmpty: Bool) -> PageTableEntry {
    guard let kind else {
      if isNone { return marksEmpty ? .protectMarker : self }
      return without(Bit.write).with(Bit.userfaultWP)
    }
    let bits = rawValue & (Bit.software | Bit.young | Bit.dirty) | Bit.userfaultWP
    switch kind {
    case .deviceWrite: return .absent(.deviceRead, frame, bits)
    case .migrationWrite: return .absent(.migrationReadExclusive, frame, bits)
    case .exclusiveWrite: return .absent(.exclusiveRead, frame, bits)
    case .poison, .marker: return self
    default: return with(Bit.userfaultWP)
    }
  }

  /// The entry with writes as usual; the next one finds out whether it is allowed.
  fileprivate var unprotected: PageTableEntry {
    self == .protectMarker ? .none : without(Bit.userfaultWP)
  }
}
