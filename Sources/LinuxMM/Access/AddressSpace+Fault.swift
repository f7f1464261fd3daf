import Base
import KernelRuntime

/// How one try to serve a fault ended (`vm_fault_t`).
enum FaultStep {
  /// The entry was changed, or somebody else changed it: try the access again.
  case done
  /// Nothing changed yet: let others run, then try again.
  case retry
  case failed(AccessError)
}

extension AddressSpace {
  /// Serves a page fault of the CPU, or says which signal the access gets (`do_user_addr_fault`).
  ///
  /// False when nothing changed, so that the same access would fault again.
  func fault(_ address: VirtualAddress, write: Bool) async throws(AccessError) -> Bool {
    let began = kernel.now
    await mmapLock.lockShared()
    stopped = nil
    let step = await faultLocked(address, write: write)
    mmapLock.unlockShared()
    if stopped != nil, await waitForHandler() { return true }
    switch step {
    case .done:
      kernel.trace.span(.cpuFault, since: began, address.rawValue, write ? 1 : 0)
      return true
    case .retry:
      return false
    case .failed(let error):
      tally.failedFaults += 1
      let (signal, errno) = error.traceNumbers
      kernel.trace.record(.cpuFaultFailed, address.rawValue, signal, errno)
      throw error
    }
  }

  /// Serves a fault (`handle_mm_fault`).
  ///
  /// LOCKING: `mmapLock` held by the caller, for reading or writing.
  func faultLocked(_ address: VirtualAddress, write: Bool) async -> FaultStep {
    guard let vma = find(address) else { return .failed(.segv(address, .mapErr)) }
    let allowed =
      write
      ? vma.protection.contains(.write) : !vma.protection.isDisjoint(with: [.read, .write])
    guard allowed else { return .failed(.segv(address, .accErr)) }
    guard vma.isAnonymous || hasBacking(vma, address) else {
      return .failed(.sigbus(address, .EFAULT))
    }
    let page = address.pageBase
    var table = leafTable(page)
    if table == 0 {
      if mayBeHuge, let step = await faultHuge(vma, address, write: write) { return step }
      do throws(KernelError) {
        table = try makeLeafTable(page)
      } catch {
        return error == .EBUSY ? .retry : .failed(.outOfMemory(address))
      }
    }
    let slot = table << PageTablePool.tableShift | PageTableLevel.leafIndex(page)
    let entry = tables.entries[slot]
    guard let kind = entry.kind else {
      if entry.isNone {
        if !vma.isAnonymous { return await faultFile(vma, address, slot, write: write) }
        return await faultMissing(vma, address, slot, write: write)
      }
      return write ? await faultProtected(vma, address, slot, entry) : .done
    }
    switch kind {
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      await waitForMigration(slot, entry, address)
      return .done
    case .deviceRead, .deviceWrite:
      return await faultDevice(vma, address, slot, entry)
    case .poison:
      return .failed(.sigbus(address, .EHWPOISON))
    case .swap:
      return await faultSwap(vma, address, slot, entry, write: write)
    case .exclusiveRead, .exclusiveWrite:
      return await faultExclusive(vma, address, slot, entry)
    case .marker:
      return await faultMarker(vma, address, slot, entry, write: write)
    }
  }

  /// An empty place: the zero page for a read, a page of one's own for a write
  /// (`do_anonymous_page`).
  private func faultMissing(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, write: Bool
  ) async -> FaultStep {
    if isUnstable { return .failed(.sigbus(address, .EFAULT)) }
    if vma.flags.contains(.userfaultMissing) {
      return stopAtUserfault(vma, address, .missing, write: write)
    }
    tally.minorFaults += 1
    if !write {
      tables.entries[slot] = .zeroPage
      return .done
    }
    return await installNewPage(vma, address, slot, expected: .none) { pfn in
      manager.clear(pfn)
    }
  }

  /// Puts a new page in the place of `expected`, unless somebody else was first.
  ///
  /// The allocation may sleep, so the entry is compared again under the page-table lock.
  ///
  /// - Parameter bits: what the new entry allows and remembers.
  func installNewPage(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, expected: PageTableEntry,
    bits: UInt64 = PageTableEntry.Bit.written, fill: (PFN) -> Void
  ) async -> FaultStep {
    let manager = manager
    let pfn: PFN
    do throws(KernelError) {
      if let page = try manager.allocateAtOnce() {
        pfn = page
      } else {
        pfn = try await manager.allocatePage(for: self)
      }
    } catch {
      return .failed(.outOfMemory(address))
    }
    fill(pfn)
    await kernel.point()
    // A page that mirrors may use is about to be replaced (`wp_page_copy`): they are told, be it
    // the zero page.
    let event = NotifierEvent(.clear, VirtualRange(start: address.pageBase, pages: 1))
    if expected.isPresent { await invalidateStart(event) }
    defer { if expected.isPresent { invalidateEnd(event) } }
    let entries = tables.entries
    guard entries[slot] == expected, !isUnstable else {
      manager.put(pfn)
      return .done
    }
    let region = prepareRegion(vma)
    manager.addNewAnonymous(
      pfn.index, AnonymousPlace(region: region.number, index: vma.index(of: address.pageBase)))
    manager.lru.add(pfn.index, cpu: manager.currentCPU)
    manager.pages[pfn.index].flags.formUnion(vma.arrivalFlags)
    if expected.isPresent { flushTranslations(pages: 1) }
    entries[slot] = .present(pfn, bits)
    tally.residentPages += 1
    if expected.isPresent && !expected.has(PageTableEntry.Bit.special) {
      tally.copiesOnWrite += 1
      tally.count(manager.pages[expected.frame.index], -1)
      manager.removeMapping(expected.frame.index)
    }
    return .done
  }

  /// A write to a present entry that doesn't allow it (`do_wp_page`): the page is used as it is
  /// when nobody else can see it, else copied.
  private func faultProtected(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep {
    typealias Bit = PageTableEntry.Bit
    tally.minorFaults += 1
    // Another task's fault may have been first.
    if entry.has(Bit.write) { return .done }
    if entry.has(Bit.userfaultWP) && vma.flags.contains(.userfaultWriteProtect) {
      return stopAtUserfault(vma, address, .writeProtect, write: true)
    }
    if entry.isZeroPage {
      return await installNewPage(vma, address, slot, expected: entry) { pfn in
        manager.clear(pfn)
      }
    }
    if !vma.flags.isDisjoint(with: [.shared, .hugetlb]) {
      return vma.flags.contains(.hugetlb)
        ? await faultHugetlb(vma, address, slot, write: true)
        : await faultSharedWrite(vma, address, slot, entry)
    }
    let pfn = entry.frame.index
    if canReuse(pfn) {
      manager.pages[pfn].flags.insert(.exclusive)
      tables.entries[slot] =
        entry
        .with(Bit.written)
      return .done
    }
    // The old page may not go while it is copied.
    manager.get(entry.frame)
    let step = await installNewPage(vma, address, slot, expected: entry) { copy in
      manager.copyPage(from: entry.frame, to: copy)
    }
    manager.put(entry.frame)
    return step
  }

  /// Whether a page has one user only (`wp_can_reuse_anon_folio`).
  func canReuse(_ pfn: Int) -> Bool {
    let pages = manager.pages
    if pages[pfn].flags.contains(.exclusive) { return true }
    // A part of a huge page is copied even if it is the last one in use.
    if !pages[pfn].flags.isDisjoint(with: .large) { return false }
    if pages[pfn].flags.contains(.batched) { manager.drainLRU() }
    if pages[pfn].references == 2 && !pages[pfn].flags.contains(.locked) {
      // The swap cache's reference is no user (`folio_free_swap`).
      _ = manager.freeSwap(pfn)
    }
    return pages[pfn].references == 1 && !pages[pfn].flags.contains(.locked)
      && pages[pfn].anonymous.isAnonymous
  }

  /// Sleeps until a page under migration has arrived, or its entry has changed.
  ///
  /// No reference is taken: the page may go while we sleep, and the migration must not count us
  /// (M20).
  func waitForMigration(
    _ slot: Int, _ entry: PageTableEntry, _ address: VirtualAddress
  ) async {
    tally.migrationWaits += 1
    manager.tally.migrationEntryWaits += 1
    let began = kernel.now
    let entries = tables.entries
    await manager.waitUnlocked(entry.frame) { entries[slot] != entry }
    kernel.trace.span(
      .migrationEntryWait, since: began, address.rawValue, entry.frame.rawValue)
  }

  /// A page in device memory: its driver brings it back (`do_swap_page`, device-private part).
  private func faultDevice(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep {
    let pfn = entry.frame
    // LOCKING: lock and reference are taken under the page-table lock, in which the entry was read,
    // so the page can't be freed and handed out again before (M09). Only one fault gets through;
    // the others sleep without a reference, so they can't fail its migration (M08, M22).
    guard manager.tryLock(pfn) else {
      await waitForMigration(slot, entry, address)
      return .done
    }
    manager.get(pfn)
    guard manager.splitForFault(pfn) else {
      manager.unlock(pfn)
      manager.put(pfn)
      return .retry
    }
    tally.deviceFaults += 1
    guard let pagemap = manager.devices.byNumber[Int(manager.pages[pfn.index].extra)] else {
      invariantFailed("\(entry) names a page without a pagemap")
    }
    let began = kernel.now
    let outcome = await pagemap.operations.migrateToRAM(
      DeviceFault(space: self, address: address.pageBase, page: pfn, order: 0))
    kernel.trace.span(.migrateToRAM, since: began, address.rawValue, pfn.rawValue)
    manager.unlock(pfn)
    manager.put(pfn)
    switch outcome {
    case .done: return tables.entries[slot] == entry ? .retry : .done
    case .retry: return .retry
    case .sigbus(let error): return .failed(.sigbus(address, error))
    case .outOfMemory: return .failed(.outOfMemory(address))
    }
  }
}

extension MemoryManager {
  /// Makes a new page an anonymous one with one mapping (`folio_add_new_anon_rmap`).
  @inline(__always)
  func addNewAnonymous(_ pfn: Int, _ place: AnonymousPlace) {
    invariant(pages[pfn].mappings == 0, "page \(pfn) is new and mapped")
    pages[pfn].anonymous = place
    pages[pfn].mappings = 1
    pages[pfn].flags.formUnion([.uptodate, .exclusive])
  }
}

extension AccessError {
  var traceNumbers: (signal: UInt64, errno: UInt64) {
    switch self {
    case .segv(_, .mapErr): (1, 0)
    case .segv(_, .accErr): (2, 0)
    case .sigbus(_, let error): (3, UInt64(error.errno))
    case .outOfMemory: (4, 0)
    }
  }
}
