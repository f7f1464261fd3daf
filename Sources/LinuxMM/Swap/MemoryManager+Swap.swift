public import Base
import KernelRuntime

extension MemoryManager {
  /// Adds swap space of `pages` slots (`swapon`); without it nothing is ever swapped out.
  ///
  /// `EINVAL` for no slots, `EBUSY` when there is swap space already.
  public func swapOn(pages: Int) throws(KernelError) {
    guard pages > 0, pages < 1 << 31 else { throw .EINVAL }
    guard swap == nil else { throw .EBUSY }
    swap = try SwapArea(pages: pages, systemPages: frames.limit)
  }

  /// The bytes that an entry of `slot` stands for, wherever they are; for audits and expectations.
  /// Nil when the slot is not in use.
  public func swappedBytes(slot: UInt64) -> [UInt8]? {
    guard let swap, slot < UInt64(swap.slots.count), swap.slots[Int(slot)].entries > 0 else {
      return nil
    }
    let page = Int(swap.slots[Int(slot)].page)
    if page != 0 && pages[page].flags.contains(.uptodate) {
      return ram.bytes(at: page << PageSize.shift, count: PageSize.bytes)
    }
    return swap.memory.bytes(at: Int(slot) << PageSize.shift, count: PageSize.bytes)
  }

  /// Slots of swap space in all; 0 without swap space.
  public var swapPages: Int { swap?.capacity ?? 0 }
  /// Slots of swap space in use.
  public var usedSwapPages: Int { swap?.used ?? 0 }
  /// Whether the page is in the swap cache (`PG_swapcache`).
  public func isInSwapCache(_ pfn: PFN) -> Bool { pages[pfn.index].flags.contains(.swapCache) }
  /// Page-table entries that name a slot (`__swap_count`).
  public func swapCount(slot: UInt64) -> Int {
    guard let swap, slot < UInt64(swap.slots.count) else { return 0 }
    return Int(swap.slots[Int(slot)].entries)
  }

  /// Whether so little is left that slots of pages in RAM are given up (`vm_swap_full`).
  // SOURCE: include/linux/swap.h, vm_swap_full of 6.12: less than half is free.
  var isSwapFull: Bool { swap.map { $0.available * 2 < $0.capacity } ?? false }

  var swapArea: SwapArea {
    guard let swap else { invariantFailed("a swap entry without swap space") }
    return swap
  }

  /// A swap entry was copied into another table: its slot has one user more (`swap_duplicate`).
  ///
  /// An entry that two processes share is not exclusive: the caller clears that bit in both.
  func duplicateSwap(_ entry: PageTableEntry) {
    invariant(entry.kind == .swap, "\(entry) is no swap entry")
    swapArea.slots[Int(entry.frame.rawValue)].entries += 1
  }

  /// A swap entry is gone from its table; the last one frees the slot, and with it a page in the
  /// swap cache that nobody maps (`free_swap_and_cache`).
  func dropSwap(_ slot: Int) {
    let swap = swapArea
    invariant(swap.slots[slot].entries > 0, "swap slot \(slot) freed more often than named")
    swap.slots[slot].entries -= 1
    guard swap.slots[slot].entries == 0 else { return }
    let page = Int(swap.slots[slot].page)
    if page == 0 {
      releaseSlot(slot)
    } else if pages[page].mappings == 0 {
      dropOrphan(page)
    }
  }

  /// A page joins the swap cache (`add_to_swap_cache`): the cache has a reference.
  func enterSwapCache(_ pfn: Int, slot: Int) {
    let swap = swapArea
    invariant(swap.slots[slot].page == 0, "swap slot \(slot) is cached already")
    swap.slots[slot].page = UInt32(pfn)
    swap.ofPage[pfn] = UInt32(slot)
    pages[pfn].flags.insert(.swapCache)
    pages[pfn].references += 1
  }

  /// The page leaves the swap cache (`delete_from_swap_cache`); a slot that nobody names is freed.
  ///
  /// LOCKING: page lock held, and a reference beside the cache's.
  func leaveSwapCache(_ pfn: Int) {
    let swap = swapArea
    let slot = Int(swap.ofPage[pfn])
    invariant(slot != 0 && Int(swap.slots[slot].page) == pfn, "page \(pfn) is not in swap cache")
    swap.slots[slot].page = 0
    swap.ofPage[pfn] = 0
    pages[pfn].flags.remove(.swapCache)
    drop(pfn)
    if swap.slots[slot].entries == 0 { releaseSlot(slot) }
  }

  /// Takes a page out of the swap cache when no entry needs its slot any more
  /// (`folio_free_swap`). From then on RAM holds the only copy.
  ///
  /// LOCKING: as ``leaveSwapCache(_:)``.
  func freeSwap(_ pfn: Int) -> Bool {
    guard pages[pfn].flags.contains(.swapCache),
      swapArea.slots[Int(swapArea.ofPage[pfn])].entries == 0
    else { return false }
    leaveSwapCache(pfn)
    pages[pfn].flags.insert(.dirty)
    return true
  }

  /// Frees a cached page that neither an entry nor a mapping needs, unless somebody works on it:
  /// then whoever unlocks it asks again (`free_swap_cache`).
  func dropOrphan(_ pfn: Int) {
    let flags = pages[pfn].flags
    guard flags.contains(.swapCache), !flags.contains(.locked), pages[pfn].mappings == 0,
      swapArea.slots[Int(swapArea.ofPage[pfn])].entries == 0
    else { return }
    get(PFN(UInt64(pfn)))
    pages[pfn].flags.insert(.locked)
    leaveSwapCache(pfn)
    unlockAndDrop(pfn)
  }

  /// Unlocks a page that may have lost its last user meanwhile, and drops the caller's reference.
  func unlockCached(_ pfn: Int) {
    unlock(index: pfn)
    dropOrphan(pfn)
    drop(pfn)
  }

  /// The destination of a migration takes the source's place in the swap cache
  /// (`folio_migrate_mapping`). Device memory has none: the source leaves it, and false says that
  /// it can't because its slot is still named (R22, M07).
  func moveSwapCache(from old: Int, to new: Int) -> Bool {
    if new >= frames.limit { return freeSwap(old) }
    let swap = swapArea
    let slot = Int(swap.ofPage[old])
    swap.ofPage[old] = 0
    swap.ofPage[new] = UInt32(slot)
    swap.slots[slot].page = UInt32(new)
    pages[old].flags.remove(.swapCache)
    pages[old].references -= 1
    pages[new].flags.insert(.swapCache)
    pages[new].references += 1
    return true
  }

  func releaseSlot(_ slot: Int) {
    groups?.unchargeSwap(Int(swapArea.slots[slot].link))
    swapArea.give(slot)
  }
}
