import Base
import KernelRuntime

/// What one entry says to somebody who wants its page.
enum FollowStep {
  /// The page may be held as it is.
  case page(PFN)
  /// A fault has to come first; with `unshare`, one that makes a shared page the process's own.
  case fault(unshare: Bool)
  /// The entry names a frame without a page behind it.
  case noPage
}

extension AddressSpace {
  /// Takes the pages from `start` on (`__get_user_pages`): looks at each entry, and faults where it
  /// doesn't allow what is asked.
  ///
  /// LOCKING: `mmapLock` held by the caller, for reading where it may be let go.
  func holdLocked(
    _ hold: UserPages.Hold, _ start: VirtualAddress, _ pages: Int, _ flags: UserPageFlags,
    mayDropLock: Bool
  ) async -> (pfns: [PFN], failure: UserPageFailure?) {
    var pfns: [PFN] = []
    var fruitless = 0
    while pfns.count < pages {
      let address = start + UInt64(pfns.count) << UInt64(PageSize.shift)
      guard let vma = find(address) else {
        return (pfns, UserPageFailure(.segv(address, .mapErr), flags))
      }
      if let refusal = refusal(vma, address, flags) {
        return (pfns, UserPageFailure(refusal, flags))
      }
      let unshare: Bool
      switch follow(vma, address, hold, flags) {
      case .page(let pfn):
        manager.take(hold, pfn)
        mark(pfn, flags)
        pfns.append(pfn)
        fruitless = 0
        continue
      case .noPage:
        return (pfns, UserPageFailure(.EFAULT, .sigbus(address, .EFAULT)))
      case .fault(let asked):
        unshare = asked
      }
      stopped = nil
      switch await faultForHolder(vma, address, flags, unshare: unshare) {
      case .done:
        break
      case .retry:
        fruitless += 1
        if mayDropLock { mmapLock.unlockShared() }
        let failure = await pause(afterFruitless: fruitless, address)
        if mayDropLock { await mmapLock.lockShared() }
        if let failure { return (pfns, UserPageFailure(.EBUSY, failure)) }
      case .failed where mayDropLock && stopped != nil:
        mmapLock.unlockShared()
        _ = await waitForHandler()
        await mmapLock.lockShared()
      case .failed(let error):
        tally.failedFaults += 1
        return (pfns, UserPageFailure(error, flags))
      }
    }
    return (pfns, nil)
  }

  /// Takes present pages without a lock, up to the first that needs more (`gup_fast`).
  ///
  /// A pin taken while a fork protects the pages could part from its process, so it backs off.
  func holdPresent(
    _ hold: UserPages.Hold, _ start: VirtualAddress, _ pages: Int, _ flags: UserPageFlags
  ) -> [PFN] {
    if hold == .pin && writeProtectSequence & 1 == 1 { return [] }
    var pfns: [PFN] = []
    while pfns.count < pages {
      let address = start + UInt64(pfns.count) << UInt64(PageSize.shift)
      guard case .page(let pfn) = follow(nil, address, hold, flags.subtracting(.force)),
        pfn != MemoryManager.zeroPage,
        !flags.contains(.longTerm) || mayStayPinned(pfn)
      else { break }
      manager.take(hold, pfn)
      mark(pfn, flags)
      pfns.append(pfn)
    }
    return pfns
  }

  /// Whether a page may be pinned for long without a look at its mapping
  /// (`gup_fast_folio_allowed`).
  private func mayStayPinned(_ pfn: PFN) -> Bool {
    let record = manager.pages[manager.folio(pfn.index)]
    return manager.isLongTermPinnable(pfn)
      && (record.anonymous.isAnonymous || record.flags.contains(.hugetlb))
  }

  /// Why nothing of a mapping may be held (`check_vma_flags`); nil when it may.
  private func refusal(
    _ vma: VMA, _ address: VirtualAddress, _ flags: UserPageFlags
  ) -> AccessError? {
    if vma.isSpecial && !vma.flags.contains(.mixedMap) { return .sigbus(address, .EFAULT) }
    if flags.contains(.longTerm), let file = vma.file {
      if file.isDAX { return .sigbus(address, .EOPNOTSUPP) }
      // Write-back could not take the right to write away any more.
      if flags.contains(.write) && vma.flags.contains(.shared) && file.tracksWrites {
        return .sigbus(address, .EFAULT)
      }
    }
    if flags.contains(.write) {
      if vma.protection.contains(.write) { return nil }
      // A debugger's write goes to a copy, which a shared mapping has no room for.
      // Hugetlb memory has no copies that can't be written.
      let isForced =
        flags.contains(.force) && vma.isCopyOnWrite && !vma.flags.contains(.hugetlb)
      return isForced ? nil : .segv(address, .accErr)
    }
    if !vma.protection.isDisjoint(with: [.read, .write]) || flags.contains(.force) { return nil }
    return .segv(address, .accErr)
  }

  /// Looks at one entry (`follow_page_pte`); without a mapping, as one who holds no lock.
  private func follow(
    _ vma: VMA?, _ address: VirtualAddress, _ hold: UserPages.Hold, _ flags: UserPageFlags
  ) -> FollowStep {
    typealias Bit = PageTableEntry.Bit
    let entry = entry(at: address)
    guard entry.isPresent, !entry.has(Bit.noAccess) || flags.contains(.force)
    else { return .fault(unshare: false) }
    let isPin = hold == .pin
    if entry.isZeroPage {
      if flags.contains(.write) { return .fault(unshare: false) }
      // R/O and for long: the process must not write elsewhere later.
      if isPin && flags.contains(.longTerm) { return .fault(unshare: true) }
      // The huge page of zeroes is held as any other.
      let zero = hugeEntry(address).map { $0.frame + PageTableLevel.leafIndex(address) }
      return .page(zero ?? entry.frame)
    }
    if entry.has(Bit.special) && !entry.isHugetlb { return .noPage }
    if entry.has(Bit.write) { return .page(entry.frame) }
    let record = manager.pages[
      entry.isHugetlb ? manager.folio(entry.frame.index) : entry.frame.index]
    let isExclusive =
      record.flags.contains(.exclusive) || hugeEntry(address) != nil && isExclusiveFolio(entry)
    if flags.contains(.write) {
      // `can_follow_write_pte`: only where a write could never be allowed.
      guard let vma, flags.contains(.force), isExclusive, vma.isCopyOnWrite,
        !vma.protection.contains(.write)
      else { return .fault(unshare: false) }
      return .page(entry.frame)
    }
    // `gup_must_unshare`.
    guard isPin && !isExclusive else { return .page(entry.frame) }
    if record.anonymous.isAnonymous { return .fault(unshare: true) }
    guard flags.contains(.longTerm) else { return .page(entry.frame) }
    return vma.map { $0.isCopyOnWrite } ?? true ? .fault(unshare: true) : .page(entry.frame)
  }

  /// The page was used, and perhaps written (`FOLL_TOUCH`).
  private func mark(_ pfn: PFN, _ flags: UserPageFlags) {
    guard pfn != MemoryManager.zeroPage else { return }
    let marks: PageFlags = flags.contains(.write) ? [.referenced, .dirty] : .referenced
    manager.pages[manager.folio(pfn.index)].flags.formUnion(marks)
  }

  /// Whether the huge page that an entry is part of belongs to one mapping alone.
  private func isExclusiveFolio(_ entry: PageTableEntry) -> Bool {
    manager.pages[manager.folio(entry.frame.index)].flags.contains(.exclusive)
  }

  /// Serves the fault of somebody who wants the page (`faultin_page`).
  private func faultForHolder(
    _ vma: VMA, _ address: VirtualAddress, _ flags: UserPageFlags, unshare: Bool
  ) async -> FaultStep {
    let write = flags.contains(.write)
    let isForced = flags.contains(.force) && write && !vma.protection.contains(.write)
    let entry = entry(at: address)
    if unshare || isForced, entry.isPresent || (isForced && entry.isNone) {
      return await breakSharing(vma, address, write: write)
    }
    return await faultLocked(address, write: write && !isForced)
  }

  /// Gives the process a page of its own in place of one that others see too, or of the zero page,
  /// without the right to write it (`do_wp_page` for `FAULT_FLAG_UNSHARE` or a forced write).
  private func breakSharing(
    _ vma: VMA, _ address: VirtualAddress, write: Bool
  ) async -> FaultStep {
    typealias Bit = PageTableEntry.Bit
    if vma.flags.contains(.hugetlb), let slot = leafSlot(HugePage.base(address)) {
      return await breakHugetlb(
        vma, address, slot, manager.tables.entries[slot], unshare: true)
    }
    if let entry = hugeEntry(address) {
      if !entry.isHugeZero && manager.canReuseFolio(entry.frame.index) {
        manager.pages[entry.frame.index].flags.insert(.exclusive)
      } else {
        await splitHugeEntries(in: VirtualRange(start: address, pages: 1))
      }
      return .done
    }
    let slot: Int
    do throws(KernelError) {
      slot =
        try makeLeafTable(address) << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
    } catch {
      return error == .EBUSY ? .retry : .failed(.outOfMemory(address))
    }
    let entry = manager.tables.entries[slot]
    tally.minorFaults += 1
    let bits =
      Bit.young | entry.rawValue & Bit.noAccess
      | (write ? Bit.dirty | Bit.softDirty : entry.rawValue & Bit.software)
    if entry.isNone || entry.isZeroPage {
      return await installNewPage(vma, address, slot, expected: entry, bits: bits) { page in
        manager.clear(page)
      }
    }
    let old = entry.frame
    if manager.pages[old.index].anonymous.isAnonymous && canReuse(old.index) {
      manager.pages[old.index].flags.insert(.exclusive)
      return .done
    }
    manager.get(old)
    let step = await installNewPage(vma, address, slot, expected: entry, bits: bits) { copy in
      manager.copyPage(from: old, to: copy)
    }
    manager.put(old)
    return step
  }
}
