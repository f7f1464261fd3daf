package import Base
import KernelRuntime

/// What a walk over all of a machine's memory found.
package struct MemoryAudit {
  /// Broken rules, in the order found; empty when all holds.
  package internal(set) var problems: [String] = []
  /// Pages that are in use, but neither mapped nor pinned nor in a batch: with nothing in flight,
  /// leaks, unless the caller knows who holds them.
  package internal(set) var unmapped: [PFN] = []
  /// Entries met, by what they hold.
  package internal(set) var systemEntries = 0
  package internal(set) var deviceEntries = 0
  /// Device-private pages that an entry names, those of a parent and its child counted once.
  package internal(set) var mappedDevicePages = 0
  package internal(set) var migrationEntries = 0
  package internal(set) var exclusiveEntries = 0
  package internal(set) var zeroEntries = 0
  package internal(set) var poisonEntries = 0
  /// Huge entries among them, each counted once.
  package internal(set) var hugeEntries = 0
  /// Huge entries by the first page that they map.
  var hugeMappings: [Int: Int] = [:]
  package internal(set) var swapEntries = 0
  package internal(set) var markerEntries = 0
  /// Entries that name each swap slot.
  var swapUses: [UInt64: Int] = [:]

  mutating func expect(_ condition: Bool, _ problem: @autoclosure () -> String) {
    // A machine that is badly broken would fill the memory with reports of it.
    if !condition && problems.count < 100 { problems.append(problem()) }
  }
}

extension MemoryManager {
  /// Checks every count and list of the machine against what the page tables say.
  ///
  /// - Parameter isQuiet: nothing is in flight: no page is locked, no entry is a migration entry,
  ///   no invalidation runs, and every reference is a mapping, a pin or a batch. With false, only
  ///   what holds at every moment between two awaits is checked.
  ///
  /// `ENOMEM` when the audit's own table can't be had.
  package func audit(isQuiet: Bool = true) throws(KernelError) -> MemoryAudit {
    var audit = MemoryAudit()
    let mapped = try RecordTable<Int32>(count: pages.count, from: supply)
    var tablesFound = 0
    for space in addressSpaces {
      space.audit(&audit, mapped, isQuiet: isQuiet)
      tablesFound += space.tally.pageTables
    }
    audit.expect(
      tablesFound == tables.used, "\(tables.used) page tables in use, \(tablesFound) reachable")
    auditFiles(&audit, isQuiet: isQuiet)
    auditSystemPages(&audit, mapped, isQuiet: isQuiet)
    if hugetlb.total > 0 { auditHugetlb(&audit, mapped, isQuiet: isQuiet) }
    auditDevicePages(&audit, mapped, isQuiet: isQuiet)
    auditSwap(&audit)
    auditGroups(&audit)
    auditZeroPage(&audit)
    return audit
  }

  private func auditZeroPage(_ audit: inout MemoryAudit) {
    let record = pages[0]
    audit.expect(
      record.references == 1 && record.mappings == 0 && record.flags == [.reserved, .uptodate],
      "the zero page was counted or flagged")
    let isClean = (0..<PageSize.bytes / 8).allSatisfy { ram.load(UInt64.self, at: $0 * 8) == 0 }
    audit.expect(isClean, "the zero page holds other bytes than zero")
  }

  private func auditSystemPages(
    _ audit: inout MemoryAudit, _ mapped: borrowing RecordTable<Int32>, isQuiet: Bool
  ) {
    let free = auditFreeList(&audit)
    let listed = auditLRU(&audit)
    var onLRU = 0
    var inBatch = 0
    for pfn in 1..<frames.untouched {
      let record = pages[pfn]
      if record.flags.contains(.free) {
        audit.expect(
          record.references == 0 && record.mappings == 0 && mapped[pfn] == 0,
          "page \(pfn) is free and in use")
        continue
      }
      if record.flags.contains(.tail) { continue }
      if record.flags.contains(.hugetlb) { continue }
      if record.flags.contains(.lru) { onLRU += 1 }
      if record.flags.contains(.batched) { inBatch += 1 }
      if record.flags == .hwPoison {
        // Broken and out of use for good.
        audit.expect(
          record.references == 1 && mapped[pfn] == 0, "page \(pfn) is retired and in use")
        continue
      }
      if record.flags.contains(.head) {
        auditFolio(&audit, pfn, mapped, pins: Int(record.extra), isQuiet: isQuiet)
      } else {
        auditPage(&audit, pfn, Int(mapped[pfn]), pins: Int(record.extra), isQuiet: isQuiet)
      }
    }
    let flagged = (1..<frames.untouched).reduce(0) {
      $0 + (pages[$1].flags.contains(.free) ? 1 : 0)
    }
    let inCache = (1..<frames.untouched).reduce(0) {
      $0 + (pages[$1].flags.contains(.pageCache) ? 1 : 0)
    }
    let cached = files.reduce(0) { $0 + ($1?.cache.count ?? 0) }
    audit.expect(inCache == cached, "\(inCache) pages flagged as cached, \(cached) in caches")
    audit.expect(flagged == free, "\(flagged) pages flagged free, \(free) on the free list")
    audit.expect(
      onLRU == listed.list, "\(onLRU) pages flagged as on the LRU, \(listed.list) on it")
    audit.expect(
      inBatch == listed.batch, "\(inBatch) pages flagged as batched, \(listed.batch) in batches")
  }

  /// What holds for every page in use.
  private func auditPage(
    _ audit: inout MemoryAudit, _ pfn: Int, _ mapped: Int, pins: Int, isQuiet: Bool
  ) {
    let record = pages[pfn]
    // A string for every page would cost more than all that is looked at.
    var name: String { "page \(pfn)" }
    audit.expect(
      Int(record.mappings) == mapped, "\(name): map count \(record.mappings), entries \(mapped)")
    let known =
      mapped + pins + (record.flags.contains(.batched) ? 1 : 0)
      + (record.flags.contains(.pageCache) ? 1 : 0)
      + (record.flags.contains(.swapCache) ? 1 : 0)
    audit.expect(
      Int(record.references) >= max(known, 1),
      "\(name): \(record.references) references, \(known) known users")
    audit.expect(
      mapped == 0 || record.anonymous != .none || record.flags.contains(.inserted),
      "\(name) is mapped and belongs nowhere")
    if record.flags.contains(.exclusive) {
      audit.expect(!record.anonymous.isFile, "\(name) is exclusive and a file's")
      audit.expect(mapped <= 1, "\(name) is exclusive with \(mapped) mappings")
    }
    guard isQuiet else { return }
    audit.expect(!record.flags.contains(.locked), "\(name) stays locked")
    audit.expect(!record.flags.contains(.waiters), "\(name) has waiters without a lock")
    if known == 0 {
      audit.unmapped.append(PFN(UInt64(pfn)))
    } else {
      audit.expect(
        Int(record.references) == known,
        "\(name): \(record.references) references, \(known) known users: one is lost")
    }
  }

  /// The free list's length, after checking its runs.
  private func auditFreeList(_ audit: inout MemoryAudit) -> Int {
    var count = 0
    for run in frames.runs() {
      count += run.count
      for pfn in run {
        guard pfn > 0 && pfn < frames.untouched else {
          audit.expect(false, "page \(pfn) is free and was never used")
          break
        }
        audit.expect(pages[pfn].flags == .free, "page \(pfn) is on the free list and in use")
      }
    }
    audit.expect(
      count == frames.recycled, "\(count) pages on the free list, counted \(frames.recycled)")
    return count
  }

  private func auditLRU(_ audit: inout MemoryAudit) -> (list: Int, batch: Int) {
    let members = lru.members(limit: frames.limit)
    for pfn in members {
      audit.expect(pages[pfn].flags.contains(.lru), "page \(pfn) is on the LRU without its flag")
      audit.expect(pfn < frames.limit, "page \(pfn) is on the LRU and no system page (V02)")
    }
    audit.expect(
      members.count == lru.count, "\(members.count) pages on the LRU, counted \(lru.count)")
    let batched = lru.batched()
    for pfn in batched {
      audit.expect(
        pages[pfn].flags.contains(.batched), "page \(pfn) is in a batch without its flag")
    }
    return (members.count, batched.count)
  }

  private func auditDevicePages(
    _ audit: inout MemoryAudit, _ mapped: borrowing RecordTable<Int32>, isQuiet: Bool
  ) {
    for pagemap in devices.pagemaps {
      var used = 0
      for pfn in pagemap.range.start.index..<pagemap.range.end.index {
        let record = pages[pfn]
        if !record.flags.isDisjoint(with: .large) {
          used += 1
          if record.flags.contains(.head) {
            let pins = pagemap.pins(PFN(UInt64(pfn)))
            auditFolio(&audit, pfn, mapped, pins: pins, isQuiet: isQuiet)
          }
          continue
        }
        if record.references == 0 {
          audit.expect(
            record.flags.subtracting(.free).isEmpty && record.mappings == 0
              && record.anonymous == .none && mapped[pfn] == 0,
            "device page \(pfn) is free and not clean (M17)")
          continue
        }
        used += 1
        audit.expect(
          record.flags.isDisjoint(with: [.lru, .batched, .free]),
          "device page \(pfn) is on the LRU or free (V02)")
        let pins = pagemap.pins(PFN(UInt64(pfn)))
        auditPage(&audit, pfn, Int(mapped[pfn]), pins: pins, isQuiet: isQuiet)
      }
      audit.expect(
        isQuiet ? used == pagemap.uses : used <= pagemap.uses,
        "pagemap \(pagemap.range): \(pagemap.uses) references, \(used) pages in use")
    }
  }
}
