package import Base
import KernelRuntime

extension AddressSpace {
  /// Visits every leaf entry that isn't empty, by address, mapped or not; a huge entry as its 512
  /// parts.
  package func forEachEntry(_ body: (VirtualAddress, PageTableEntry) -> Void) {
    visit(root, level: 0, base: 0, tables: nil, body) { address, entry in
      for index in 0..<HugePage.pages {
        body(address + UInt64(index) << UInt64(PageSize.shift), entry.part(index))
      }
    }
  }

  /// Visits what hangs below one table and counts the tables met.
  private func visit(
    _ table: Int, level: Int, base: UInt64, tables count: ((Int) -> Void)?,
    _ body: (VirtualAddress, PageTableEntry) -> Void,
    huge: (VirtualAddress, PageTableEntry) -> Void
  ) {
    count?(table)
    let block = tables.block(table)
    let isLeaf = level == PageTableLevel.upper.count
    let shift = isLeaf ? UInt64(PageSize.shift) : UInt64(PageTableLevel.upper[level])
    for index in 0..<PageTablePool.entriesPerTable {
      let entry = block[index]
      if entry.isNone { continue }
      let address = base + UInt64(index) << shift
      if isLeaf {
        body(VirtualAddress(address), entry)
      } else if entry.isHugeLeaf {
        huge(VirtualAddress(address), entry)
      } else {
        visit(
          Int(entry.rawValue >> 12), level: level + 1, base: address, tables: count, body,
          huge: huge)
      }
    }
  }

  /// Checks this process, adding the entries that map each page to `mapped`.
  func audit(
    _ audit: inout MemoryAudit, _ mapped: borrowing RecordTable<Int32>, isQuiet: Bool
  ) {
    auditMappings(&audit)
    var tablesFound = 0
    var found = AddressSpaceCounters()
    var entries: [(address: VirtualAddress, entry: PageTableEntry)] = []
    var hugeEntries: [(address: VirtualAddress, entry: PageTableEntry)] = []
    let countTable: (Int) -> Void = { _ in tablesFound += 1 }
    visit(root, level: 0, base: 0, tables: countTable) { address, entry in
      entries.append((address, entry))
    } huge: { address, entry in
      hugeEntries.append((address, entry))
    }
    for (address, entry) in hugeEntries {
      auditHuge(&audit, address, entry, isQuiet: isQuiet, &found.residentPages, &found.devicePages)
    }
    var vma: VMA?
    for (address, entry) in entries {
      if vma?.range.contains(address) != true { vma = find(address) }
      guard let vma else {
        audit.expect(false, "\(name): \(entry) at \(address), where nothing is mapped")
        continue
      }
      auditEntry(&audit, vma, address, entry, mapped, isQuiet: isQuiet, &found)
    }
    auditResident(&audit, found)
    audit.expect(
      found.devicePages == tally.devicePages,
      "\(name): \(tally.devicePages) device pages, entries \(found.devicePages)")
    tablesFound += spareTables.count
    audit.expect(
      found.swapEntries == tally.swapEntries,
      "\(name): \(tally.swapEntries) swapped, entries \(found.swapEntries)")
    audit.expect(
      tablesFound == tally.pageTables && spareTables.count == hugeEntries.count,
      "\(name): \(tally.pageTables) page tables, \(tablesFound) found, \(spareTables.count) of "
        + "them spare for \(hugeEntries.count) huge entries")
    if isQuiet { notifiers.audit(&audit, name) }
  }

  /// What holds of one leaf entry; counts it.
  private func auditEntry(
    _ audit: inout MemoryAudit, _ vma: VMA, _ address: VirtualAddress, _ entry: PageTableEntry,
    _ mapped: borrowing RecordTable<Int32>, isQuiet: Bool, _ found: inout AddressSpaceCounters
  ) {
    switch entry.location {
    case .ram where entry.has(PageTableEntry.Bit.special):
      if let head = entry.hugetlbHead { mapped[head] += 1 }
      let isAllowed = vma.isSpecial || vma.flags.contains(.hugetlb)
      audit.expect(isAllowed, "\(name): \(entry) at \(address) of an ordinary mapping")
    case .ram(let pfn):
      found.count(manager.pages[pfn.index], 1)
      audit.systemEntries += 1
      mapped[pfn.index] += 1
      auditPlace(&audit, vma, address, entry, pfn)
    case .device(let pfn):
      found.count(manager.pages[pfn.index], 1)
      found.devicePages += 1
      audit.deviceEntries += 1
      if mapped[pfn.index] == 0 { audit.mappedDevicePages += 1 }
      mapped[pfn.index] += 1
      auditPlace(&audit, vma, address, entry, pfn)
    case .migration(let pfn):
      found.count(manager.pages[pfn.index], 1)
      audit.migrationEntries += 1
      audit.expect(!isQuiet, "\(name): \(entry) left at \(address)")
      audit.expect(manager.isLocked(pfn), "\(name): \(entry) at \(address) of an unlocked page")
    case .zero:
      audit.zeroEntries += 1
      audit.expect(!entry.isWritable, "\(name): the zero page is writable at \(address)")
    case .poison:
      audit.poisonEntries += 1
    case .exclusive(let pfn):
      found.count(manager.pages[pfn.index], 1)
      audit.exclusiveEntries += 1
      mapped[pfn.index] += 1
      auditPlace(&audit, vma, address, entry, pfn)
    case .swap(let slot):
      found.swapEntries += 1
      audit.swapEntries += 1
      audit.swapUses[slot, default: 0] += 1
      auditSwap(&audit, vma, address, entry, slot)
    case .marker:
      audit.markerEntries += 1
    case .none:
      audit.expect(false, "\(name): \(entry) at \(address)")
    }
  }

  private func auditResident(_ audit: inout MemoryAudit, _ found: AddressSpaceCounters) {
    for (kind, counted, entries) in [
      ("rss", tally.residentPages, found.residentPages),
      ("rss of files", tally.filePages, found.filePages),
      ("rss of shared memory", tally.sharedMemoryPages, found.sharedMemoryPages),
    ] {
      audit.expect(counted == entries, "\(name): \(kind) \(counted), entries \(entries)")
    }
  }

  func auditPlace(
    _ audit: inout MemoryAudit, _ vma: VMA, _ address: VirtualAddress, _ entry: PageTableEntry,
    _ pfn: PFN
  ) {
    let manager = manager
    let record = manager.pages[pfn.index]
    if record.flags.contains(.inserted) {
      audit.expect(
        vma.flags.contains(.mixedMap), "\(name): \(entry) at \(address) is a driver's page")
      return
    }
    let index = vma.index(of: address)
    let isFile = record.anonymous.isFile
    let place =
      isFile
      ? AnonymousPlace(file: vma.file?.number ?? 0, index: index)
      : AnonymousPlace(region: vma.anonymous?.number ?? 0, index: index)
    audit.expect(
      record.anonymous == place,
      "\(name): \(entry) at \(address), but the page says region \(record.anonymous.region) "
        + "index \(record.anonymous.index)")
    let isWritable =
      entry.isWritable || entry.kind == .deviceWrite || entry.kind == .exclusiveWrite
    audit.expect(
      !isWritable || vma.protection.contains(.write),
      "\(name): \(entry) at \(address) of a mapping \(vma.protection)")
    audit.expect(
      entry.isDevicePrivate == manager.isDevicePrivate(pfn),
      "\(name): \(entry) at \(address) maps device memory for the CPU, or RAM as a device's (R41)")
    audit.expect(
      !isWritable || (isFile ? vma.flags.contains(.shared) : record.flags.contains(.exclusive)),
      "\(name): \(entry) at \(address) of a page that is not exclusive")
  }

  private func auditMappings(_ audit: inout MemoryAudit) {
    var last = VirtualAddress(0)
    for vma in mappings {
      audit.expect(
        vma.start >= last && vma.start < vma.end && vma.range.isPageAligned,
        "\(name): mapping \(vma.range) after \(last)")
      audit.expect(
        vma.anonymous.map { $0.mappings.contains { $0 === vma } } ?? true,
        "\(name): mapping \(vma.range) is not in its region's list")
      audit.expect(
        vma.file.map { $0.mappings.contains { $0 === vma } } ?? true,
        "\(name): mapping \(vma.range) is not in its file's list")
      last = vma.end
    }
  }
}

extension NotifierSubscriptions {
  /// With nothing in flight every invalidation has ended.
  func audit(_ audit: inout MemoryAudit, _ name: String) {
    audit.expect(running == 0, "\(name): \(running) invalidations never ended (R60)")
    audit.expect(!isInvalidating, "\(name): the notifier sequence \(sequence) stays odd")
    audit.expect(
      intervals.allSatisfy { $0.state == .active }, "\(name): an interval notifier half removed")
  }
}
