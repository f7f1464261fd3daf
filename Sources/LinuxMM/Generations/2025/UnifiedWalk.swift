import Base
import KernelRuntime

/// One pass over a range that faults pages in and takes them for a migration, entry by entry.
///
/// The pages so far are locked while a later one is faulted in. So that two walks can't wait for
/// each other, a walk that has pages never waits for one that another migration or fault has: it
/// leaves it out (R21). And the migrate event is closed around each fault: whoever serves the fault
/// may need the mirrors that the event holds up.
struct UnifiedWalk {
  private let space: AddressSpace
  private let vma: VMA
  private let request: MigrationRequest
  private let buffers: MigrationBuffers
  private let event: NotifierEvent
  private let notifies: Bool
  private let faults: UnifiedFault
  /// Collected so far, over all stretches.
  private var collected = 0
  private(set) var hasPending = false
  private var fruitless = 0

  init(
    _ space: AddressSpace, _ vma: VMA, _ request: MigrationRequest, _ buffers: MigrationBuffers,
    _ faults: UnifiedFault
  ) {
    self.space = space
    self.vma = vma
    // Whole huge pages are of another rule set.
    var request = request
    request.select.remove(.compound)
    self.request = request
    self.buffers = buffers
    self.faults = faults
    event = NotifierEvent(
      .migrate, VirtualRange(request.start, request.end), owner: request.owner)
    notifies = !space.notifiers.isEmpty || space.kernel.trace.isOn
  }

  /// Why a stretch ended before the range did.
  private enum Stop {
    case end
    case fault(write: Bool)
    case leaveOut
    case failed(KernelError)
  }

  /// Walks the whole range. When it throws, what it took is still taken; places from the failing
  /// one on are empty.
  mutating func run() async throws(KernelError) {
    for place in 0..<buffers.count {
      buffers.arrays[source: place] = .empty
      buffers.arrays[destination: place] = .empty
    }
    space.walkTally.passes += 1
    var place = 0
    if notifies { await space.invalidateStart(event) }
    defer { if notifies { space.invalidateEnd(event) } }
    await prepareStretch()
    while place < buffers.count {
      switch stretch(&place) {
      case .end: return
      case .leaveOut:
        if buffers.explains { space.explainCollection(vma, request, buffers, place..<place + 1) }
        place += 1
      case .failed(let error): throw error
      case .fault(let write):
        let address = request.start + UInt64(place) << 12
        if notifies { space.invalidateEnd(event) }
        let step = await faultTable(address, write: write)
        if case .retry = step { await space.kernel.yield() }
        if notifies { await space.invalidateStart(event) }
        await prepareStretch()
        space.walkTally.restarts += 1
        try judge(step)
      }
    }
  }

  /// Faults in what the table of `address` lacks from there on, as a plain lookup does.
  private func faultTable(_ address: VirtualAddress, write: Bool) async -> FaultStep {
    let end = min(AddressSpace.tableEnd(address, PageTableLevel.leafShift), request.end)
    var next = address
    var step = await space.faultLocked(next, write: write)
    while case .done = step {
      next = next + 4096
      while next < end {
        space.walkTally.entries += 1
        if case .fault = need(space.entry(at: next)) { break }
        next = next + 4096
      }
      guard next < end else { break }
      step = await space.faultLocked(next, write: write)
    }
    return step
  }

  /// Huge pages are split first, also those that a fault has just put there: the RFC has no more.
  private func prepareStretch() async {
    if !space.spareTables.isEmpty { await space.splitForMigration(request) }
    space.manager.drainLRU()
  }

  private mutating func judge(_ step: FaultStep) throws(KernelError) {
    switch step {
    case .done: fruitless = 0
    case .retry:
      // R57: a few tries here; the caller bounds the rest.
      fruitless += 1
      guard fruitless < 4 else { throw .EBUSY }
    case .failed: throw .EFAULT
    }
  }

  /// Takes entries from `place` on until one needs a fault. Nothing here sleeps.
  private mutating func stretch(_ place: inout Int) -> Stop {
    let manager = space.manager
    let entries = manager.tables.entries
    let arrays = buffers.arrays
    let hole = vma.isAnonymous ? MigratePFN(rawValue: MigratePFN.migrate) : .empty
    var collector = PageCollector(manager, request)
    let first = place
    defer { finish(collector, first..<place) }
    var address = request.start + UInt64(place) << 12
    while place < buffers.count {
      let end = min(AddressSpace.tableEnd(address, PageTableLevel.leafShift), request.end)
      let table = space.leafTable(address)
      if table == 0 && space.hugeEntry(address) != nil {
        // It could not be split, or is on its way: it stays.
        space.walkTally.entries += 1
        place += VirtualRange(address, end).pages
        address = end
        continue
      }
      collector.flushed = 0
      // R26: before the page-table lock is dropped.
      defer { if collector.flushed > 0 { space.flushTranslations(pages: collector.flushed) } }
      while address < end {
        let slot = table << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
        let entry = table == 0 ? PageTableEntry.none : entries[slot]
        space.walkTally.entries += 1
        let stop = need(entry)
        if case .end = stop {} else { return stop }
        if table == 0 {
          arrays[source: place] = hole
          if hole.migrates { collector.collected += 1 }
        } else {
          arrays[source: place] = collector.take(
            entries.block(at: table << PageTablePool.tableShift),
            PageTableLevel.leafIndex(address), hole: hole)
        }
        place += 1
        address = address + 4096
      }
    }
    return .end
  }

  private mutating func finish(_ collector: PageCollector, _ places: Range<Int>) {
    collector.countPassages()
    if buffers.explains { space.explainCollection(vma, request, buffers, places) }
    collected += collector.collected
    buffers.collected = collected
    space.tally.devicePages -= collector.deviceEntries
    space.manager.tally.migrationsCollected += UInt64(collector.taken)
    if collector.pending > 0 { hasPending = true }
  }

  /// What has to happen before an entry can be taken; `.end` when nothing has.
  private func need(_ entry: PageTableEntry) -> Stop {
    guard faults.isRequired else { return .end }
    let write = faults.contains(.write)
    let missing = Stop.fault(write: write)
    if entry.isNone { return missing }
    guard let kind = entry.kind else {
      return write && !entry.isWritable ? missing : .end
    }
    switch kind {
    case .deviceRead, .deviceWrite:
      let manager = space.manager
      let map = manager.devices.byNumber[Int(manager.pages[entry.frame.index].extra)]
      if let owner = request.owner, map?.owner === owner { return .end }
      // Another fault or migration has it locked: with pages of our own we don't wait for it.
      let isBusy = manager.isLocked(entry.frame)
      return isBusy && collected > 0 ? .leaveOut : missing
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      return collected > 0 ? .leaveOut : missing
    case .swap, .exclusiveRead, .exclusiveWrite: return missing
    case .poison, .marker: return .failed(.EFAULT)
    }
  }
}
