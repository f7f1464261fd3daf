public import Base
import KernelRuntime

extension AddressSpace {
  /// As `translate`, for an address without a leaf table.
  func translateHuge(_ address: VirtualAddress, write: Bool) -> Int? {
    typealias Bit = PageTableEntry.Bit
    guard let entry = hugeEntry(address)?.rawValue, let slot = upperSlot(address) else {
      return nil
    }
    let needed = write ? Bit.present | Bit.write : Bit.present
    guard entry & (needed | Bit.noAccess) == needed else { return nil }
    let marks = write ? Bit.young | Bit.dirty | Bit.softDirty : Bit.young
    manager.tables.entries[slot] = PageTableEntry(rawValue: entry | marks)
    return Int(truncatingIfNeeded: entry & Bit.frame)
      | Int(truncatingIfNeeded: address.rawValue) & (HugePage.bytes - 1)
  }

  /// Whether a fault may put a huge page around `address` (`thp_vma_allowable_order`).
  func allowsHuge(_ vma: VMA, _ address: VirtualAddress) -> Bool {
    guard vma.isAnonymous, !vma.isSpecial, vma.range.contains(HugePage.range(address)),
      !vma.flags.contains(.noHugePage), !vma.flags.contains(.userfaultMissing), !isUnstable
    else { return false }
    switch manager.hugePolicy {
    case .never: return false
    case .madvise: return vma.flags.contains(.hugePage)
    case .always: return true
    }
  }

  /// Serves a fault with a huge page, or on one; nil leaves it to the path for base pages.
  ///
  /// Kept out of its caller, whose frame every fault pays for.
  ///
  /// LOCKING: `mmapLock` held by the caller.
  @inline(never)
  func faultHuge(_ vma: VMA, _ address: VirtualAddress, write: Bool) async -> FaultStep? {
    guard let slot = upperSlot(address) else {
      return allowsHuge(vma, address) ? await faultHugeMissing(vma, address, write: write) : nil
    }
    let entry = manager.tables.entries[slot]
    if entry.isNone {
      return allowsHuge(vma, address) ? await faultHugeMissing(vma, address, write: write) : nil
    }
    guard entry.isHugeLeaf else { return nil }
    if entry.isPresent {
      return write ? await faultHugeProtected(address, slot, entry) : .done
    }
    if entry.isMigration {
      await waitForMigration(slot, entry, address)
      return .done
    }
    return await faultHugeDevice(address, slot, entry)
  }

  /// An empty place of 2 MiB: the huge zero page for a read, a huge page for a write
  /// (`do_huge_pmd_anonymous_page`). Nil when no memory of that size can be had.
  private func faultHugeMissing(
    _ vma: VMA, _ address: VirtualAddress, write: Bool
  ) async -> FaultStep? {
    typealias Bit = PageTableEntry.Bit
    let base = HugePage.base(address)
    let table: Int
    let slot: Int
    do throws(KernelError) {
      slot = try makeUpperSlot(base)
      table = try takeSpareTable()
    } catch {
      return .failed(.outOfMemory(address))
    }
    let head: PFN
    do throws(KernelError) {
      head = write ? try manager.allocateHugePage() : try manager.getHugeZeroPage()
    } catch {
      manager.tables.give(table)
      manager.huge.tally.faultFallbacks += 1
      return nil
    }
    if write { manager.clearHuge(head) }
    guard !write || manager.chargeFolio(head.index, self) else {
      manager.put(head)
      manager.tables.give(table)
      manager.huge.tally.faultFallbacks += 1
      return nil
    }
    await kernel.point()
    // The allocation may have slept: another fault can have been first, or the OOM killer.
    guard manager.tables.entries[slot].isNone, allowsHuge(vma, address) else {
      manager.put(head)
      manager.tables.give(table)
      return .done
    }
    tally.minorFaults += 1
    if write {
      let region = prepareRegion(vma)
      manager.addNewAnonymousFolio(
        head.index, AnonymousPlace(region: region.number, index: vma.index(of: base)))
      manager.lru.addNow(head.index)
      manager.pages[head.index].flags.formUnion(vma.arrivalFlags)
      manager.huge.tally.faultAllocations += 1
      tally.residentPages += HugePage.pages
      let bits = Bit.write | Bit.dirty | Bit.young | Bit.softDirty
      install(.hugePresent(head.index, bits), slot, spare: table)
    } else {
      install(.hugePresent(head.index, Bit.special), slot, spare: table)
    }
    return .done
  }

  /// A write to a huge page that is mapped read-only (`do_huge_pmd_wp_page`): it is used as it is
  /// when nobody else can see it. Else, and for the zero page, its entry is split and a base page
  /// is copied.
  private func faultHugeProtected(
    _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep? {
    typealias Bit = PageTableEntry.Bit
    if entry.has(Bit.write) { return .done }
    let head = entry.frame.index
    if !entry.isHugeZero && manager.canReuseFolio(head) {
      tally.minorFaults += 1
      manager.pages[head].flags.insert(.exclusive)
      manager.tables.entries[slot] =
        entry
        .with(Bit.write | Bit.dirty | Bit.young | Bit.softDirty)
      return .done
    }
    await splitHugeEntries(in: VirtualRange(start: address.pageBase, pages: 1))
    // The mirrors may have slept: look at everything again.
    return hugeEntry(address) == nil ? nil : .done
  }

  /// A huge page in device memory: its driver brings it back, whole or in parts
  /// (`do_huge_pmd_device_private`).
  private func faultHugeDevice(
    _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep {
    let head = entry.frame
    guard manager.tryLock(head) else {
      await waitForMigration(slot, entry, address)
      return .done
    }
    manager.get(head)
    tally.deviceFaults += 1
    guard let pagemap = manager.devices.byNumber[Int(manager.pages[head.index].extra)] else {
      invariantFailed("\(entry) names a page without a pagemap")
    }
    let began = kernel.now
    let outcome = await pagemap.operations.migrateToRAM(
      DeviceFault(
        space: self, address: address.pageBase, page: head, order: HugePage.order))
    kernel.trace.span(.migrateToRAM, since: began, address.rawValue, head.rawValue)
    manager.unlock(head)
    manager.put(head)
    switch outcome {
    case .done: return hugeEntry(address) == entry ? .retry : .done
    case .retry: return .retry
    case .sigbus(let error): return .failed(.sigbus(address, error))
    case .outOfMemory: return .failed(.outOfMemory(address))
    }
  }
}

extension MemoryManager {
  /// The shared huge page of zeroes with one more reference, made at its first use
  /// (`mm_get_huge_zero_folio`). It goes with its last mapping.
  ///
  /// Errors as ``allocateHugePage()``.
  func getHugeZeroPage() throws(KernelError) -> PFN {
    if huge.zero != 0 {
      pages[huge.zero].references += 1
      return PFN(UInt64(huge.zero))
    }
    let head = try allocateHugePage()
    clearHuge(head)
    pages[head.index].flags.insert(.uptodate)
    huge.zero = head.index
    huge.tally.zeroAllocations += 1
    return head
  }

  /// Sets every byte of a huge page of RAM to zero (`clear_huge_page`).
  public func clearHuge(_ head: PFN) {
    invariant(isSystemPage(head), "the CPU can't clear \(head), which is no RAM")
    ram.fill(0, at: head.index << PageSize.shift, length: PageSize.hugeBytes)
  }

  /// Whether a huge page has one user only, through one huge entry.
  func canReuseFolio(_ head: Int) -> Bool {
    if pages[head].flags.contains(.exclusive) { return true }
    return pages[head].references == 1 && entireMappings(head) == 1
      && !pages[head].flags.contains(.locked)
  }
}
