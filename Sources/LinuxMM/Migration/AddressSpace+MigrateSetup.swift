public import Base
import KernelRuntime

extension AddressSpace {
  /// Collects a range for migration (`migrate_vma_setup`): each page that can be had is locked,
  /// replaced by a migration entry in every table, and taken off the LRU.
  ///
  /// Best effort: an empty result is a success (R6), and the driver looks at each source.
  ///
  /// `EINVAL`, with nothing changed: ends that aren't page aligned, an empty range, a range outside
  /// one mapping, a special, hugetlb or DAX mapping (R5), more pages than `buffers` holds (R1), or
  /// a fault page that isn't device-private (R25).
  ///
  /// LOCKING: `mmapLock` held by the caller from here to finalize (R4). Page locks are only tried
  /// (R21).
  public func migrateSetup(
    _ request: MigrationRequest, _ buffers: MigrationBuffers
  ) async throws(KernelError) -> CollectedPages {
    await kernel.point()
    invariant(
      mmapLock.isHeldOrSharedByCurrent, "migrateSetup without the mmap lock of \(name) (R4)")
    let vma = try checked(request, buffers)
    buffers.begin(self, request)
    let range = VirtualRange(request.start, request.end)
    kernel.trace.record(.migrateSetup, range.start.rawValue, UInt64(range.pages))
    let event = NotifierEvent(.migrate, range, owner: request.owner)
    // Nothing sleeps during collection, so without a mirror the event could meet nobody.
    let notifies = !notifiers.isEmpty || kernel.trace.isOn
    if notifies { await invalidateStart(event) }
    if !spareTables.isEmpty { await splitForMigration(request) }
    let pending = collect(vma, request, buffers)
    if buffers.explains { explainCollection(vma, request, buffers, 0..<buffers.count) }
    if notifies { invalidateEnd(event) }
    if pending { await manager.unmapPending(buffers) }
    kernel.trace.record(
      .migrateCollect, range.start.rawValue, UInt64(range.pages), UInt64(buffers.collected))
    return CollectedPages(buffers)
  }

  /// The mapping of a request, or why it can't be served; nothing is changed.
  func checked(
    _ request: MigrationRequest, _ buffers: MigrationBuffers
  ) throws(KernelError) -> VMA {
    guard request.start.isPageAligned, request.end.isPageAligned, request.start < request.end
    else { throw .EINVAL }
    let range = VirtualRange(request.start, request.end)
    guard let vma = find(request.start), vma.range.contains(range), !vma.refusesMigration
    else { throw .EINVAL }
    guard range.pages <= buffers.capacity else { throw .EINVAL }
    if let page = request.faultPage {
      guard manager.isDevicePrivate(page) else { throw .EINVAL }
      invariant(manager.isLocked(page), "the fault page \(page) is not locked")
    }
    return vma
  }

  /// Walks the range once. True when pages are left for ``MemoryManager/unmapPending(_:)``: those
  /// in an LRU batch and those mapped elsewhere too.
  private func collect(
    _ vma: VMA, _ request: MigrationRequest, _ buffers: MigrationBuffers
  ) -> Bool {
    let arrays = buffers.arrays
    let entries = manager.tables.entries
    var collector = PageCollector(manager, request)
    // R12: only anonymous mappings may have empty places filled.
    let hole = vma.isAnonymous ? MigratePFN(rawValue: MigratePFN.migrate) : .empty
    var index = 0
    var address = request.start
    manager.drainLRU()
    while address < request.end {
      let end = min(Self.tableEnd(address, PageTableLevel.leafShift), request.end)
      let count = VirtualRange(address, end).pages
      let table = leafTable(address)
      if table == 0 {
        let found = collectUpper(vma, request, VirtualRange(address, end))
        collector.note(found, buffers, index..<index + count, hole: hole)
      } else {
        let block = entries.block(at: table << PageTablePool.tableShift)
        var slot = PageTableLevel.leafIndex(address)
        collector.flushed = 0
        for place in index..<index + count {
          arrays[source: place] = collector.take(block, slot, hole: hole)
          arrays[destination: place] = .empty
          slot += 1
        }
        // R26: before the page-table lock is dropped.
        if collector.flushed > 0 { flushTranslations(pages: collector.flushed) }
      }
      index += count
      address = end
    }
    collector.countPassages()
    walkTally.passes += 1
    walkTally.entries += UInt64(index)
    buffers.collected = collector.collected
    tally.devicePages -= collector.deviceEntries
    manager.tally.migrationsCollected += UInt64(collector.taken)
    if collector.takenWhole > 0 {
      manager.tally.migrationsCollected += UInt64(collector.takenWhole * HugePage.pages)
      manager.huge.tally.migrationsCollected += UInt64(collector.takenWhole)
    }
    return collector.pending > 0
  }
}

/// Takes the pages of one range, entry by entry (`migrate_vma_collect_pmd`).
///
/// LOCKING: under the page-table lock; nothing here sleeps.
struct PageCollector {
  private let pages: FlatView<PageRecord>
  private let lru: LRUList
  private let failures: FailurePlan
  /// Whether no failure is armed, so that passages are counted at the end.
  private let isQuiet: Bool
  private let devices: [DevicePagemap?]
  private let owner: PagemapOwner?
  private let takesSystem: Bool
  private let takesDevice: Bool
  private let takesCoherent: Bool
  private let takesAnyOwner: Bool
  private let faultPage: Int
  /// The last pagemap met and whether the request takes its pages: neighbours share it.
  private var knownMap: UInt32 = 0
  private var knownMatches = false

  /// Places that may migrate.
  var collected = 0
  /// Pages among them.
  var taken = 0
  /// Huge pages among them.
  var takenWhole = 0
  /// Pages that ``MemoryManager/unmapPending(_:)`` has to finish.
  var pending = 0
  /// Present entries removed from the table in work.
  var flushed = 0
  /// Device-private entries removed.
  var deviceEntries = 0

  init(_ manager: MemoryManager, _ request: MigrationRequest) {
    pages = manager.pages
    lru = manager.lru
    failures = manager.kernel.failures
    isQuiet = failures.isQuiet
    devices = manager.devices.byNumber
    owner = request.owner
    takesSystem = request.select.contains(.system)
    takesAnyOwner = request.select.contains(.anyOwner)
    let namesOwner = request.owner != nil || takesAnyOwner
    takesDevice = request.select.contains(.devicePrivate) && namesOwner
    takesCoherent = request.select.contains(.deviceCoherent) && namesOwner
    faultPage = request.faultPage?.index ?? -1
  }

  /// The source word of one place.
  @inline(__always)
  mutating func take(
    _ block: FlatBlock<PageTableEntry>, _ slot: Int, hole: MigratePFN
  ) -> MigratePFN {
    typealias Bit = PageTableEntry.Bit
    let entry = block[slot]
    if entry.isNone {
      if hole.migrates { collected += 1 }
      return hole
    }
    let pfn = entry.frame.index
    if entry.isPresent {
      guard takesSystem || takesCoherent else { return .empty }
      if pfn == 0 {
        guard takesSystem else { return .empty }
        // R11: the zero page is a place to clear, not a page to copy.
        collected += 1
        return MigratePFN(rawValue: MigratePFN.migrate)
      }
    } else {
      guard entry.isDevicePrivate, takesDevice, matches(pages[pfn].extra) else { return .empty }
    }
    return takePage(block, slot, entry, pfn)
  }

  /// Whether the pagemap's pages are the requester's own (R23).
  @inline(__always)
  private mutating func matches(_ number: UInt32) -> Bool {
    if number == knownMap { return knownMatches }
    knownMap = number
    knownMatches = devices[Int(number)].map { takesAnyOwner || $0.owner === owner } ?? false
    return knownMatches
  }

  @inline(__always)
  private mutating func takePage(
    _ block: FlatBlock<PageTableEntry>, _ slot: Int, _ entry: PageTableEntry, _ pfn: Int
  ) -> MigratePFN {
    typealias Bit = PageTableEntry.Bit
    var record = pages[pfn]
    let flags = record.flags
    guard record.anonymous.isAnonymous else { return takeFilePage(block, slot, entry, pfn) }
    let isFaultPage = pfn == faultPage
    let isPresent = entry.isPresent
    let isDevice = flags.contains(.device)
    if isPresent {
      guard isDevice ? takesCoherent && isFree(pfn) : takesSystem else { return .empty }
    }
    // R20: references beyond the mappings mean a pin or a user; a device page is allowed one more,
    // the fault page the fault's.
    let allowed = record.mappings + (isDevice ? 1 : 0) + (isFaultPage ? 1 : 0)
    // A batch and the swap cache have a reference each.
    let batched = flags.contains(.batched)
    let cached = Int32(truncatingIfNeeded: (flags.rawValue >> 16) & 1)
    // Parts of a huge page that is mapped by base entries don't migrate, as in 6.12.
    guard flags.isDisjoint(with: isFaultPage ? .large : Self.unfit),
      record.references <= allowed + (batched ? 1 : 0) + cached
    else { return .empty }
    if !isQuiet && strikes() { return .empty }

    let isWritable =
      isPresent
      ? entry.has(Bit.write)
      : entry.rawValue & Bit.kindAndPresent == PageTableEntry.Kind.deviceWrite.rawValue << 1
    let kind: PageTableEntry.Kind =
      isWritable
      ? .migrationWrite : flags.contains(.exclusive) ? .migrationReadExclusive : .migrationRead
    var newFlags = flags.subtracting(.exclusive).union(.locked)
    if isPresent {
      flushed += 1
      if entry.isDirty { newFlags.insert(.dirty) }  // R27
    } else {
      deviceEntries += 1
    }
    block[slot] = .absent(
      kind, entry.frame, entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
    // The entry's reference becomes the migration's.
    record.mappings -= 1
    taken += 1
    collected += 1
    var source = MigratePFN(entry.frame).rawValue | MigratePFN.migrate
    if isWritable { source |= MigratePFN.write }
    if record.mappings > 0 || (!isDevice && !flags.contains(.lru)) {
      pending += 1
      source |= MigratePFN.pending
    } else if !isDevice {
      lru.unlinkNeighbours(record.links)
      newFlags.remove(.lru)
      pages[pfn].links = 0
    }
    pages[pfn].flags = newFlags
    pages[pfn].mappings = record.mappings
    return MigratePFN(rawValue: source)
  }

  /// A page of a file: it can be had, but the commit refuses to put it into device memory (R22).
  private mutating func takeFilePage(
    _ block: FlatBlock<PageTableEntry>, _ slot: Int, _ entry: PageTableEntry, _ pfn: Int
  ) -> MigratePFN {
    typealias Bit = PageTableEntry.Bit
    let flags = pages[pfn].flags
    // R20: the page cache holds one more.
    let allowed = pages[pfn].mappings + 1 + (flags.contains(.batched) ? 1 : 0)
    guard takesSystem, entry.isPresent, pages[pfn].anonymous.isFile, !flags.contains(.locked),
      pages[pfn].references <= allowed
    else { return .empty }
    if !isQuiet && strikes() { return .empty }
    pages[pfn].flags.insert(.locked)
    if entry.isDirty { pages[pfn].flags.insert(.dirty) }
    flushed += 1
    block[slot] = .absent(
      entry.has(Bit.write) ? .migrationWrite : .migrationRead, entry.frame,
      entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
    pages[pfn].mappings -= 1
    taken += 1
    collected += 1
    // Always the long way: other mappings of the file are found through the reverse map.
    pending += 1
    let write = entry.has(Bit.write) ? MigratePFN.write : 0
    return MigratePFN(
      rawValue: MigratePFN(entry.frame).rawValue | MigratePFN.migrate | MigratePFN.pending | write)
  }

  /// A locked page, and part of a huge one.
  private static let unfit: PageFlags = [.locked, .head, .tail]

  /// Fills in the words of places without a leaf table.
  mutating func note(
    _ found: AddressSpace.UpperPlace, _ buffers: MigrationBuffers, _ places: Range<Int>,
    hole: MigratePFN
  ) {
    let arrays = buffers.arrays
    var word = MigratePFN.empty
    if case .holes = found { word = hole }
    for place in places {
      arrays[source: place] = word
      arrays[destination: place] = .empty
    }
    switch found {
    case .holes:
      if hole.migrates { collected += places.count }
    case .passedOver:
      break
    case .whole(let word):
      arrays[source: places.lowerBound] = word
      buffers.compounds.append(places.lowerBound)
      // One word, one place that may migrate, as upstream counts.
      collected += 1
      if word.isValid { takenWhole += 1 }
      if word.rawValue & MigratePFN.pending != 0 { pending += 1 }
    }
  }

  /// Whether a coherent page is the requester's own and nobody has pinned it.
  private mutating func isFree(_ pfn: Int) -> Bool {
    let number = pages[pfn].extra
    guard matches(number), let map = devices[Int(number)] else { return false }
    return map.pins(PFN(UInt64(pfn))) == 0
  }

  /// Whether an injected failure keeps this page from being locked or isolated.
  private func strikes() -> Bool {
    failures.fires(.pageLock) || failures.fires(.migrateCollect)
  }

  /// Counts the passages of the injection points that were not counted one by one.
  func countPassages() {
    guard isQuiet else { return }
    failures.pass(.pageLock, times: taken)
    failures.pass(.migrateCollect, times: taken)
  }
}

extension MigratePFN {
  // Bits of the model's own, never shown to a driver.
  /// The page is locked, but not yet isolated and unmapped everywhere.
  static let pending: UInt64 = 1 << 2
  /// More than the entry at hand was replaced: finalize goes through the reverse map.
  static let reverse: UInt64 = 1 << 5
  /// 2 MiB of empty places that migrate as one.
  static let hugeHole = MigratePFN(rawValue: migrate | compound)
}
