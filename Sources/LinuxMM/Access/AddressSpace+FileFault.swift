import Base
import KernelRuntime

// Faults in mappings that aren't anonymous: of files, of shared memory, of drivers.
extension AddressSpace {
  /// Whether a touch of a mapping that isn't anonymous has anything to find: a file, or what a
  /// driver put there.
  func hasBacking(_ vma: VMA, _ address: VirtualAddress) -> Bool {
    vma.file != nil || vma.flags.contains(.hugetlb) || (vma.isSpecial && !entry(at: address).isNone)
  }

  /// An empty place in a mapping of a file: the file's page, or a copy of it for a private write
  /// (`do_read_fault`, `do_cow_fault`, `do_shared_fault`). A place that was protected while it was
  /// empty, whose marker is `expected`, stays so.
  func faultFile(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, expected: PageTableEntry = .none,
    write: Bool
  ) async -> FaultStep {
    if vma.flags.contains(.hugetlb) {
      return await faultHugetlb(vma, address, slot, write: write)
    }
    guard let file = vma.file else { return .failed(.sigbus(address, .EFAULT)) }
    if !vma.flags.isDisjoint(with: [.userfaultMissing, .userfaultMinor]) {
      let kind: Userfault.Mode = file.hasPage(vma.index(of: address)) ? .minor : .missing
      if vma.flags.contains(VMA.Flags(kind)) {
        return stopAtUserfault(vma, address, kind, write: write)
      }
    }
    let isCopy = write && !vma.flags.contains(.shared)
    if isUnstable && !vma.flags.contains(.shared) { return .failed(.sigbus(address, .EFAULT)) }
    tally.minorFaults += 1
    let page: PFN
    do throws(KernelError) {
      page = try await file.fetch(vma.index(of: address.pageBase), for: self)
    } catch {
      return .failed(error == .ENOMEM ? .outOfMemory(address) : .sigbus(address, error))
    }
    // The file's page stays locked until it is mapped or copied, so that it can't leave the cache.
    let step: FaultStep
    if isCopy {
      typealias Bit = PageTableEntry.Bit
      let bits = expected.isNone ? Bit.written : Bit.written & ~Bit.write | Bit.userfaultWP
      step = await installNewPage(vma, address, slot, expected: expected, bits: bits) { copy in
        manager.ram.copy(
          from: manager.ram, at: page.index << PageSize.shift, to: copy.index << PageSize.shift,
          length: PageSize.bytes)
      }
    } else {
      mapCachedPage(vma, file, page, slot, write: write)
      step = .done
    }
    manager.unlock(page)
    manager.put(page)
    return step
  }

  /// Maps a page of the cache, unless somebody else was first (`set_pte_range`).
  func mapCachedPage(
    _ vma: VMA, _ file: MappedFile, _ page: PFN, _ slot: Int, write: Bool
  ) {
    typealias Bit = PageTableEntry.Bit
    let entries = manager.tables.entries
    let isProtected = entries[slot] == .protectMarker
    guard entries[slot].isNone || isProtected else { return }
    var bits = Bit.young
    if isProtected {
      bits |= Bit.userfaultWP
    } else if write {
      file.markDirty(page)
      bits |= Bit.write | Bit.dirty | Bit.softDirty
    } else if vma.flags.contains(.shared), vma.protection.contains(.write), !file.tracksWrites {
      bits |= Bit.write
    }
    manager.addMapping(page.index)
    manager.pages[page.index].flags.formUnion(vma.arrivalFlags)
    tally.count(manager.pages[page.index], 1)
    entries[slot] = .present(page, bits)
  }

  /// A write through a shared mapping to a present entry that doesn't allow it (`wp_page_shared`,
  /// `wp_pfn_shared`).
  func faultSharedWrite(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry
  ) async -> FaultStep {
    typealias Bit = PageTableEntry.Bit
    let entries = manager.tables.entries
    let written = Bit.write | Bit.dirty | Bit.young | Bit.softDirty
    guard !entry.has(Bit.special), let file = vma.file, file.tracksWrites else {
      entries[slot] = entry.with(written)
      return .done
    }
    let page = entry.frame
    manager.get(page)
    // The page may be on its way to the disk just now.
    await manager.lock(page)
    if entries[slot].isPresent && entries[slot].frame == page {
      file.markDirty(page)
      entries[slot] = entries[slot].with(written)
    }
    manager.unlock(page)
    manager.put(page)
    return .done
  }
}

extension MemoryManager {
  /// One more entry maps the page, which is in use already (`folio_add_file_rmap_pte`).
  func addMapping(_ pfn: Int) {
    pages[pfn].references += 1
    pages[pfn].mappings += 1
  }
}
