import Base
import KernelRuntime

extension AddressSpace {
  /// Moves the entries of a range, whatever they hold (`move_page_tables`).
  ///
  /// The tables are made first: without one, `ENOMEM`, nothing has moved. Between the event's start
  /// and its end nothing sleeps, so no page escapes.
  ///
  /// - Parameter keepsProtection: whether a handler goes on watching writes at the new place.
  ///
  /// LOCKING: `mmapLock` held for writing.
  func moveEntries(
    _ source: VirtualRange, to place: VirtualAddress, keepsProtection: Bool
  ) async throws(KernelError) {
    let event = NotifierEvent(.unmap, source)
    await invalidateStart(event)
    defer { invalidateEnd(event) }
    let mover = EntryMover(
      self, distance: place.rawValue &- source.start.rawValue, keepsProtection)
    let huge = try mover.prepareHuge(source)
    var parts: [VirtualRange] = []
    forEachLeafTable(in: source) { _, part in parts.append(part) }
    for part in parts {
      _ = try makeLeafTable(mover.target(part.start))
      _ = try makeLeafTable(mover.target(part.end - 1))
    }
    for base in huge { _ = try moveHugeEntry(base, mover.target(base)) }
    for part in parts { mover.move(part) }
  }
}

/// Moves entries within one process over a distance.
///
/// LOCKING: under both page-table locks; nothing here sleeps.
private struct EntryMover {
  let space: AddressSpace
  /// From an old address to its new one, modulo 2^64.
  let distance: UInt64
  let keepsProtection: Bool

  init(_ space: AddressSpace, distance: UInt64, _ keepsProtection: Bool) {
    self.space = space
    self.distance = distance
    self.keepsProtection = keepsProtection
  }

  func target(_ address: VirtualAddress) -> VirtualAddress {
    VirtualAddress(address.rawValue &+ distance)
  }

  /// The huge entries that can move whole, for which the tables are there now; others are split.
  func prepareHuge(_ source: VirtualRange) throws(KernelError) -> [VirtualAddress] {
    var bases: [VirtualAddress] = []
    space.forEachHugeSlot(in: source) { _, base in bases.append(base) }
    var whole: [VirtualAddress] = []
    for base in bases {
      let new = target(base)
      if new == HugePage.base(new),
        space.manager.tables.entries[try space.makeUpperSlot(new)].isNone
      {
        whole.append(base)
      } else {
        space.splitHugeEntry(base)
      }
    }
    return whole
  }

  /// Moves the entries of one leaf table (`move_ptes`).
  func move(_ part: VirtualRange) {
    typealias Bit = PageTableEntry.Bit
    let entries = space.manager.tables.entries
    var flushed = 0
    var address = part.start
    while address < part.end {
      if let from = space.leafSlot(address), !entries[from].isNone,
        let to = space.leafSlot(target(address))
      {
        let entry = entries[from]
        if entry.isPresent { flushed += 1 }
        entries[from] = .none
        if keepsProtection {
          entries[to] = entry == .protectMarker ? entry : entry.with(Bit.softDirty)
        } else if entry != .protectMarker {
          // Where nobody watches, an empty place that was protected is just empty.
          entries[to] = entry.without(Bit.userfaultWP).with(Bit.softDirty)
        }
      }
      address += UInt64(PageSize.bytes)
    }
    if flushed > 0 { space.flushTranslations(pages: flushed) }
  }
}
