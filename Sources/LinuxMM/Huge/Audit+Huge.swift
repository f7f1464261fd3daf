import Base
import KernelRuntime

extension AddressSpace {
  /// Checks one huge entry.
  func auditHuge(
    _ audit: inout MemoryAudit, _ address: VirtualAddress, _ entry: PageTableEntry, isQuiet: Bool,
    _ resident: inout Int, _ onDevice: inout Int
  ) {
    let head = entry.frame
    audit.hugeEntries += 1
    guard let vma = find(address), vma.range.contains(HugePage.range(address)) else {
      return audit.expect(false, "\(name): huge \(entry) at \(address) beyond its mapping")
    }
    audit.expect(
      manager.pages[head.index].flags.contains(.head),
      "\(name): huge \(entry) at \(address) of no huge page")
    if entry.isHugeZero {
      audit.zeroEntries += 1
      audit.hugeMappings[head.index, default: 0] += 1
      audit.expect(
        !entry.isWritable && head.index == manager.huge.zero,
        "\(name): \(entry) at \(address) isn't the huge zero page, or is writable")
      return
    }
    resident += HugePage.pages
    if entry.isMigration {
      audit.migrationEntries += 1
      audit.expect(!isQuiet, "\(name): \(entry) left at \(address)")
      audit.expect(
        manager.isLocked(head), "\(name): \(entry) at \(address) of an unlocked page")
      return
    }
    if entry.isDevicePrivate {
      onDevice += HugePage.pages
      audit.deviceEntries += 1
      if audit.hugeMappings[head.index] == nil { audit.mappedDevicePages += HugePage.pages }
    } else {
      audit.systemEntries += 1
    }
    audit.hugeMappings[head.index, default: 0] += 1
    auditPlace(&audit, vma, address, entry, head)
  }
}

extension MemoryManager {
  /// What holds for every huge page in use.
  func auditFolio(
    _ audit: inout MemoryAudit, _ head: Int, _ mapped: borrowing RecordTable<Int32>, pins: Int,
    isQuiet: Bool
  ) {
    let record = pages[head]
    let entire = audit.hugeMappings[head] ?? 0
    var parts = 0
    for pfn in head..<head + HugePage.pages {
      parts += Int(mapped[pfn])
      auditPart(&audit, head, pfn, Int(mapped[pfn]))
    }
    let name = "huge page \(head)"
    audit.expect(
      head == huge.zero || Int(entireMappings(head)) == entire,
      "\(name): mapped whole \(entireMappings(head)) times, entries \(entire)")
    let known = entire + parts + pins
    audit.expect(
      Int(record.references) >= max(known, 1),
      "\(name): \(record.references) references, \(known) known users")
    audit.expect(!record.flags.contains(.batched), "\(name) is in a batch")
    guard isQuiet else { return }
    audit.expect(
      record.flags.isDisjoint(with: [.locked, .waiters]), "\(name) stays locked, or has waiters")
    if known == 0 {
      audit.unmapped.append(PFN(UInt64(head)))
    } else {
      audit.expect(
        Int(record.references) == known,
        "\(name): \(record.references) references, \(known) known users: one is lost")
    }
  }

  private func auditPart(
    _ audit: inout MemoryAudit, _ head: Int, _ pfn: Int, _ mapped: Int
  ) {
    let record = pages[pfn]
    audit.expect(
      record.flags.contains(pfn == head ? .head : .tail),
      "page \(pfn) of huge page \(head) is \(record.flags.rawValue)")
    audit.expect(
      Int(record.mappings) == mapped,
      "page \(pfn) of huge page \(head): map count \(record.mappings), entries \(mapped)")
    let place = pages[head].anonymous
    audit.expect(
      place == .none
        ? record.anonymous == .none
        : record.anonymous.rawValue == place.rawValue + UInt64(pfn - head),
      "page \(pfn) of huge page \(head) belongs elsewhere")
    if pfn > head + 1 {
      audit.expect(record.references == 0, "page \(pfn) of huge page \(head) has references")
    }
    if pfn > head {
      audit.expect(
        record.flags.isDisjoint(with: [.lru, .batched, .locked, .free, .deferred]),
        "page \(pfn) of huge page \(head) is marked as if it stood alone")
    }
  }
}
