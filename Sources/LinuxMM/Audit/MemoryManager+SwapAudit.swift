import Base
import KernelRuntime

extension MemoryManager {
  /// Every slot in use is named by as many entries as it counts, or cached by a page that says so.
  func auditSwap(_ audit: inout MemoryAudit) {
    for case let file? in files {
      for (index, slot) in zip(file.swapped.indices, file.swapped.values) {
        audit.swapUses[UInt64(slot), default: 0] += 1
        let place = AnonymousPlace(file: file.number, index: index)
        audit.expect(
          swap?.slots[slot].place == place, "swap slot \(slot) of \(file.name) belongs elsewhere")
      }
    }
    guard let swap else {
      audit.expect(audit.swapUses.isEmpty, "swap entries without swap space")
      return
    }
    var used = 0
    let free = Set(swap.freeSlots())
    for slot in swap.touched {
      let record = swap.slots[slot]
      let named = audit.swapUses[UInt64(slot)] ?? 0
      audit.expect(
        Int(record.entries) == named,
        "swap slot \(slot): counted \(record.entries) entries, \(named) found")
      let page = Int(record.page)
      if page != 0 {
        audit.expect(
          pages[page].flags.contains(.swapCache) && Int(swap.ofPage[page]) == slot,
          "swap slot \(slot): page \(page) doesn't know that it is its cache")
      }
      let isUsed = record.entries > 0 || page != 0
      audit.expect(isUsed != free.contains(slot), "swap slot \(slot) is lost, or free and in use")
      if isUsed { used += 1 }
    }
    audit.expect(used == swap.used, "\(used) swap slots in use, counted \(swap.used)")
    for pfn in 1..<frames.untouched {
      let slot = Int(swap.ofPage[pfn])
      audit.expect(
        (slot != 0) == pages[pfn].flags.contains(.swapCache),
        "page \(pfn): its flag and the swap cache disagree")
      if slot != 0 {
        audit.expect(
          Int(swap.slots[slot].page) == pfn, "page \(pfn) says slot \(slot), which it isn't in")
      }
    }
  }

  /// Every group is charged for exactly the pages and slots that name it.
  func auditGroups(_ audit: inout MemoryAudit) {
    guard let groups else { return }
    var charged = [Int](repeating: 0, count: groups.byNumber.count)
    var swapped = charged
    func count(_ pfn: Int, isUsed: Bool) {
      let number = groups.number(of: pfn)
      charged[number] += 1
      audit.expect(number == 0 || isUsed, "page \(pfn) is free and charged")
    }
    for pfn in 1..<frames.untouched {
      count(pfn, isUsed: !pages[pfn].flags.contains(.free))
    }
    for pagemap in devices.pagemaps {
      for pfn in pagemap.range.start.index..<pagemap.range.end.index {
        count(pfn, isUsed: pages[pfn].references > 0)
      }
    }
    if let swap {
      for slot in swap.touched where swap.slots[slot].entries > 0 || swap.slots[slot].page != 0 {
        swapped[Int(swap.slots[slot].link)] += 1
      }
    }
    for case let group? in groups.byNumber {
      audit.expect(
        group.charged == charged[group.number],
        "group \(group.name): \(group.charged) pages charged, \(charged[group.number]) found")
      audit.expect(
        group.swapped == swapped[group.number],
        "group \(group.name): \(group.swapped) slots charged, \(swapped[group.number]) found")
    }
  }
}

extension AddressSpace {
  /// A swap entry's slot is in use, and its page belongs at this address.
  func auditSwap(
    _ audit: inout MemoryAudit, _ vma: VMA, _ address: VirtualAddress, _ entry: PageTableEntry,
    _ slot: UInt64
  ) {
    guard let swap = manager.swap, swap.touched.contains(Int(slot)) else {
      audit.expect(false, "\(name): \(entry) at \(address) names no slot")
      return
    }
    let record = swap.slots[Int(slot)]
    let place = AnonymousPlace(region: vma.anonymous?.number ?? 0, index: vma.index(of: address))
    audit.expect(
      record.place == place, "\(name): \(entry) at \(address), whose page belongs elsewhere")
    audit.expect(
      !entry.has(PageTableEntry.Bit.exclusive) || record.entries == 1,
      "\(name): \(entry) at \(address) is exclusive and named \(record.entries) times")
  }
}
