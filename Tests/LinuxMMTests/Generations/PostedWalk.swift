import Base
import KernelRuntime

@testable import LinuxMM

/// The RFC's own control flow, as it was posted, over this model: what `hmm_range_fault` and
/// `migrate_hmm_range_setup` do with `HMM_PFN_REQ_MIGRATE`, step by step and with its slips.
///
/// Tests run it to show a defect, and the project's form beside it.
final class PostedWalk {
  /// `struct migrate_vma` as far as the RFC uses it.
  final class Arguments {
    var select: MigrateSelect
    var owner: PagemapOwner?
    var start = VirtualAddress(0)
    var end = VirtualAddress(0)
    var sources: [MigratePFN]
    var destinations: [MigratePFN]
    var collected = 0

    init(_ select: MigrateSelect, owner: PagemapOwner?, room: Int) {
      self.select = select
      self.owner = owner
      sources = [MigratePFN](repeating: .empty, count: room)
      destinations = sources
    }
  }

  /// How a walk ended.
  enum Ending: Equatable {
    case done
    case error(KernelError)
    /// It would sleep on a migration entry that it has made itself.
    case waitsForItself
    /// It went on beginning again.
    case endless
  }

  let space: AddressSpace
  let range: VirtualRange
  var owner: PagemapOwner?
  var notifier: IntervalNotifier?
  var sequence: UInt64 = 0
  var defaultFlags: UInt64
  var pfns: [UnifiedPFN]
  let arguments: Arguments?
  /// `hmm_vma_walk.mmu_range`.
  private var event: NotifierEvent?
  private(set) var starts = 0
  /// Frames that this walk has locked behind migration entries.
  private(set) var taken: [Int] = []
  private var seen: VMA?
  private var last: VirtualAddress
  private var walkEnd = VirtualAddress(0)
  private var waits = false

  init(
    _ space: AddressSpace, _ range: VirtualRange, owner: PagemapOwner?, flags: UInt64,
    _ arguments: Arguments?
  ) {
    self.space = space
    self.range = range
    self.owner = owner
    self.arguments = arguments
    defaultFlags = flags
    last = range.start
    pfns = [UnifiedPFN](repeating: .none, count: range.pages)
  }

  /// As `migrate_vma_setup` of the RFC begins: no notifier, and the migrate request always set.
  static func setup(
    _ space: AddressSpace, _ range: VirtualRange, _ arguments: Arguments, faults: Bool
  ) -> PostedWalk {
    arguments.start = range.start
    arguments.end = range.end
    let fault = faults ? UnifiedPFN.requestFault : 0
    return PostedWalk(
      space, range, owner: arguments.owner, flags: UnifiedPFN.requestMigrate | fault, arguments)
  }

  private var manager: MemoryManager { space.manager }

  /// `hmm_want_migrate`: the request for migration selects system pages, whatever was selected.
  private var want: MigrateSelect {
    var select = arguments?.select ?? []
    if defaultFlags & UnifiedPFN.requestMigrate != 0 { select.insert(.system) }
    return select
  }

  private var requires: Bool { defaultFlags & (UnifiedPFN.valid | UnifiedPFN.write) != 0 }

  // MARK: hmm_range_fault

  func rangeFault() async -> Ending {
    manager.drainLRU()
    event = nil
    seen = nil
    last = range.start
    var ending = Ending.done
    for turn in 0...64 {
      if turn == 64 { ending = .endless }
      if let notifier, notifier.readRetry(sequence) {
        ending = .error(.EBUSY)
        break
      }
      ending = await walk()
      if ending != .error(.EBUSY) { break }
    }
    // The end is told only to whom has an owner, and only with arguments at hand.
    if !want.isEmpty, let arguments, let event, event.owner != nil {
      if notifier != nil {
        arguments.start = range.start
        arguments.end = walkEnd
      }
      space.invalidateEnd(event)
    }
    return ending
  }

  private func walk() async -> Ending {
    var address = last
    while address < range.end {
      guard let vma = space.find(address) else {
        if requires { return .error(.EFAULT) }
        address = address + 4096
        continue
      }
      let end = min(vma.range.end, range.end)
      if let error = await test(vma, address, end) { return .error(error) }
      let isReadable = !vma.isSpecial && !vma.protection.isDisjoint(with: [.read, .write])
      while address < end {
        if isReadable {
          let ending = await entry(vma, address)
          if ending != .done { return ending }
        } else {
          if requires { return .error(.EFAULT) }
          pfns[place(address)] = UnifiedPFN(rawValue: UnifiedPFN.error)
        }
        address = address + 4096
      }
    }
    return .done
  }

  /// `hmm_vma_walk_test` with `hmm_vma_capture_migrate_range`.
  private func test(
    _ vma: VMA, _ start: VirtualAddress, _ end: VirtualAddress
  ) async -> KernelError? {
    guard !want.isEmpty else { return nil }
    if let seen, seen !== vma { return .ERANGE }
    seen = vma
    walkEnd = end
    if event?.owner == nil {
      let event = NotifierEvent(.migrate, VirtualRange(start, end), owner: owner)
      await space.invalidateStart(event)
      starts += 1
      self.event = event
    }
    return nil
  }

  private func place(_ address: VirtualAddress) -> Int {
    Int((address.rawValue - range.start.rawValue) >> 12)
  }

  /// `hmm_vma_handle_pte`, then `hmm_vma_handle_migrate_prepare`.
  private func entry(_ vma: VMA, _ address: VirtualAddress) async -> Ending {
    let entry = space.entry(at: address)
    let write = defaultFlags & UnifiedPFN.write != 0
    var needsFault = false
    var word: UInt64 = 0
    switch entry.kind {
    case nil:
      needsFault = entry.isNone || (write && !entry.isWritable)
      if !entry.isNone {
        word = entry.frame.rawValue | UnifiedPFN.valid
        if entry.isWritable { word |= UnifiedPFN.write }
      }
    case .deviceRead?, .deviceWrite?:
      let map = manager.devices.byNumber[Int(manager.pages[entry.frame.index].extra)]
      needsFault = map?.owner !== owner
      if !needsFault {
        word = entry.frame.rawValue | UnifiedPFN.valid
        if entry.kind == .deviceWrite { word |= UnifiedPFN.write }
      }
    case .migrationRead?, .migrationReadExclusive?, .migrationWrite?:
      if requires { return taken.contains(entry.frame.index) ? .waitsForItself : .error(.EBUSY) }
    default: needsFault = true
    }
    if requires && needsFault {
      last = address
      if case .failed = await space.faultLocked(address, write: write) { return .error(.EFAULT) }
      return .error(.EBUSY)
    }
    pfns[place(address)] = UnifiedPFN(rawValue: needsFault ? 0 : word)
    prepare(vma, address)
    return .done
  }

  private func prepare(_ vma: VMA, _ address: VirtualAddress) {
    typealias Bit = PageTableEntry.Bit
    let want = want
    let index = place(address)
    guard !want.isEmpty, let slot = space.leafSlot(address) else { return }
    let entry = manager.tables.entries[slot]
    let zero = UnifiedPFN(rawValue: UnifiedPFN.valid | UnifiedPFN.migrate)
    if entry.isNone {
      if vma.isAnonymous { pfns[index] = zero }
      return
    }
    guard pfns[index].isValid else { return }
    if entry.isPresent {
      guard want.contains(.system) else { return }
      if entry.isZeroPage {
        pfns[index] = zero
        return
      }
    } else {
      guard entry.isDevicePrivate, want.contains(.devicePrivate) else { return }
      space.tally.devicePages -= 1
    }
    let pfn = entry.frame.index
    guard !manager.pages[pfn].flags.contains(.locked) else { return }
    let isExclusive = manager.pages[pfn].flags.contains(.exclusive)
    let isWritable = entry.isPresent ? entry.isWritable : entry.kind == .deviceWrite
    manager.pages[pfn].flags.insert(.locked)
    manager.pages[pfn].flags.remove(.exclusive)
    manager.pages[pfn].mappings -= 1
    // Neither the page nor the entry is told that the entry was dirty or young.
    manager.tables.entries[slot] = .absent(
      isWritable ? .migrationWrite : isExclusive ? .migrationReadExclusive : .migrationRead,
      entry.frame, entry.rawValue & Bit.software)
    pfns[index].rawValue |= UnifiedPFN.migrate
    taken.append(pfn)
    if entry.isPresent { space.flushTranslations(pages: 1) }
  }

  // MARK: migrate_hmm_range_setup

  /// The loop over the array; the rest is as in any form.
  func rangeSetup() {
    guard let arguments else { return }
    arguments.collected = 0
    let pages = VirtualRange(arguments.start, arguments.end).pages
    for place in 0..<min(pages, pfns.count) {
      let word = pfns[place]
      guard word.migrates else {
        arguments.sources[place] = .empty
        arguments.destinations[place] = .empty
        continue
      }
      arguments.collected += 1
      var raw = MigratePFN.migrate
      if let pfn = word.pfn {
        raw |= MigratePFN(pfn).rawValue
        if word.isWritable { raw |= MigratePFN.write }
      }
      // The destination keeps whatever it was.
      arguments.sources[place] = MigratePFN(rawValue: raw)
    }
  }

  /// What a driver does that leaves every page where it is: finalize without destinations.
  func putBack() async {
    let request = MigrationRequest(range, owner: owner, select: .system)
    let buffers = MigrationBuffers(pages: range.pages)
    buffers.begin(space, request)
    for place in 0..<range.pages {
      guard let page = pfns[place].pfn, pfns[place].migrates else { continue }
      buffers.arrays[source: place] = MigratePFN(
        rawValue: MigratePFN(page).rawValue | MigratePFN.migrate | MigratePFN.pending)
    }
    await manager.unmapPending(buffers)
    buffers.refuseAll(MigrationReason(.declined))
    buffers.finalize()
  }
}
