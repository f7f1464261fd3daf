import Base
import KernelRuntime

extension AddressSpace {
  /// A page in swap space: found in the swap cache or read, then mapped (`do_swap_page`).
  ///
  /// A read that fails gives the access SIGBUS with `EIO`; the bytes stay in their slot.
  func faultSwap(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry, write: Bool
  ) async -> FaultStep {
    let entries = manager.tables.entries
    let swap = manager.swapArea
    let swapSlot = Int(entry.frame.rawValue)
    let pfn: Int
    if swap.slots[swapSlot].page != 0 {
      pfn = Int(swap.slots[swapSlot].page)
      manager.get(PFN(UInt64(pfn)))
      tally.minorFaults += 1
      await manager.lock(PFN(UInt64(pfn)))
    } else {
      tally.majorFaults += 1
      let page: PFN
      do throws(KernelError) {
        page = try await manager.allocatePage(for: self, swapSlot: swapSlot)
      } catch {
        return .failed(.outOfMemory(address))
      }
      // The allocation may have slept. While the entry stands its slot can't be another's.
      guard entries[slot] == entry, swap.slots[swapSlot].page == 0 else {
        manager.put(page)
        return .done
      }
      pfn = page.index
      guard await manager.readFromSwap(pfn, swapSlot) else {
        return .failed(.sigbus(address, .EIO))
      }
    }
    // Locked and referenced now; both may have taken time.
    guard entries[slot] == entry, Int(swap.ofPage[pfn]) == swapSlot,
      Int(swap.slots[swapSlot].page) == pfn
    else {
      manager.unlockCached(pfn)
      return .done
    }
    guard !manager.pages[pfn].flags.contains(.hwPoison) else {
      manager.unlockCached(pfn)
      return .failed(.sigbus(address, .EHWPOISON))
    }
    mapSwapped(vma, slot, entry, pfn, swapSlot, write: write)
    manager.unlock(index: pfn)
    return .done
  }

  /// Maps a page from the swap cache; the caller's reference becomes the entry's.
  private func mapSwapped(
    _ vma: VMA, _ slot: Int, _ entry: PageTableEntry, _ pfn: Int, _ swapSlot: Int, write: Bool
  ) {
    typealias Bit = PageTableEntry.Bit
    let pages = manager.pages
    if write && pages[pfn].flags.contains(.batched) { manager.drainLRU() }
    manager.swapArea.slots[swapSlot].entries -= 1
    tally.swapEntries -= 1
    tally.residentPages += 1
    // The slot is worth keeping while the page stays as it is; one that is about to be written, or
    // never goes out, gives it up (`should_try_to_free_swap`).
    if vma.flags.contains(.locked) || manager.isSwapFull || (write && pages[pfn].references == 2) {
      _ = manager.freeSwap(pfn)
    }
    var bits = entry.rawValue & Bit.software | Bit.young
    if entry.has(Bit.exclusive) || pages[pfn].references == 1 {
      pages[pfn].flags.insert(.exclusive)
      if vma.protection.contains(.write) && !entry.has(Bit.userfaultWP) {
        bits |= Bit.write
        if write { bits |= Bit.dirty | Bit.softDirty }
      }
    }
    if vma.protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
    pages[pfn].mappings += 1
    if vma.flags.contains(.locked) { pages[pfn].flags.insert(.mlocked) }
    manager.tables.entries[slot] = .present(PFN(UInt64(pfn)), bits)
  }
}

extension MemoryManager {
  /// Reads a slot into a new page of the swap cache, which stays locked (`swap_read_folio`).
  ///
  /// False when the device refuses: the page is dropped, and a later fault tries anew.
  func readFromSwap(_ pfn: Int, _ slot: Int) async -> Bool {
    let swap = swapArea
    pages[pfn].flags.insert(.locked)
    pages[pfn].anonymous = swap.slots[slot].place
    enterSwapCache(pfn, slot: slot)
    lru.add(pfn, cpu: currentCPU)
    if await copyFromSwap(pfn, slot) { return true }
    leaveSwapCache(pfn)
    unlockAndDrop(pfn)
    return false
  }

  /// Reads a slot into a page; false when the device refuses.
  func copyFromSwap(_ pfn: Int, _ slot: Int) async -> Bool {
    await kernel.sleep(configuration.swapLatency)
    guard !failures.fires(.swapRead) else { return false }
    ram.copy(
      from: swapArea.memory, at: slot << PageSize.shift, to: pfn << PageSize.shift,
      length: PageSize.bytes)
    pages[pfn].flags.insert(.uptodate)
    tally.swapReads += 1
    kernel.trace.record(.swapRead, UInt64(pfn), UInt64(slot))
    return true
  }
}
