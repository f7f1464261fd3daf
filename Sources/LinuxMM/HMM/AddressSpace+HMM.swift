public import Base
import KernelRuntime

extension AddressSpace {
  /// Looks a range up for a device, faulting in what is required (`hmm_range_fault`).
  ///
  /// - `EBUSY`: the range changed since the sequence was taken: begin again (R52)
  /// - `EFAULT`: a required page is in no readable mapping, or its fault failed
  /// - `EPERM`: a page is required writable and its mapping isn't
  /// - `EINVAL`: ends not page aligned, or an array of another length
  ///
  /// After an error the array holds results up to the place that failed and requests above (R53).
  ///
  /// LOCKING: `mmapLock` held by the caller (R56); not the lock that the mirror's callback takes.
  public func hmmRangeFault(_ range: inout HMMRange) async throws(KernelError) {
    await kernel.point()
    invariant(
      mmapLock.isHeldOrSharedByCurrent, "hmmRangeFault without the mmap lock of \(name) (R56)")
    guard range.range.isPageAligned, range.pfns.count == range.range.pages else { throw .EINVAL }
    var place = 0
    var looks: UInt64 = 0
    walkTally.passes += 1
    defer { walkTally.entries += looks }
    var checks = true
    var fruitless = 0
    while place < range.pfns.count {
      if checks {
        // As often as the walk restarts; between two restarts nothing else runs.
        guard !range.notifier.readRetry(range.sequence) else { throw .EBUSY }
        try kernel.failures.check(.hmmRetry)
        checks = false
      }
      let address = range.range.start + UInt64(place) << 12
      looks += 1
      switch try look(address, range.request(at: place), range.owner) {
      case .result(let word):
        range.pfns[place] = HMMPFN(rawValue: word)
        place += 1
      case .fault(let write):
        walkTally.restarts += 1
        fruitless = try await faultForDevice(address, write: write) ? 0 : fruitless + 1
        // R57: no more than a few tries in here; the caller bounds the rest in time.
        guard fruitless < 4 else { throw .EBUSY }
        if fruitless == 0 { looks += try await faultRest(range, from: place + 1) }
        checks = true
      case .wait(let slot, let entry):
        await waitForMigration(slot, entry, address)
        checks = true
      }
    }
  }

  /// Faults in what else the same table lacks, before the walk is taken up again (`hmm_vma_fault`):
  /// one check of the sequence serves them all. The entries looked at.
  private func faultRest(
    _ range: HMMRange, from first: Int
  ) async throws(KernelError) -> UInt64 {
    var place = first
    var address = range.range.start + UInt64(place) << 12
    let end = min(Self.tableEnd(address - 4096, PageTableLevel.leafShift), range.range.end)
    while address < end {
      guard case .fault(let write) = try look(address, range.request(at: place), range.owner)
      else {
        place += 1
        address = address + 4096
        continue
      }
      guard try await faultForDevice(address, write: write) else { break }
      place += 1
      address = address + 4096
    }
    return UInt64(place - first)
  }

  /// As ``hmmRangeFault(_:)`` for a caller without the lock: it is taken for reading, and let go
  /// while a handler in user space serves a fault (`userfaultfd`).
  ///
  /// `EBUSY` after such a wait too: begin again with a new sequence.
  public func hmmRangeFaultUnlocked(_ range: inout HMMRange) async throws(KernelError) {
    await mmapLock.lockShared()
    stopped = nil
    var failure: KernelError?
    do throws(KernelError) {
      try await hmmRangeFault(&range)
    } catch {
      failure = error
    }
    mmapLock.unlockShared()
    guard let failure else { return }
    if failure == .EFAULT, await waitForHandler() { throw .EBUSY }
    throw failure
  }

  private enum Look {
    case result(UInt64)
    case fault(write: Bool)
    case wait(slot: Int, PageTableEntry)
  }

  /// What one address holds for a device that asks for `request`.
  private func look(
    _ address: VirtualAddress, _ request: UInt64, _ owner: PagemapOwner?
  ) throws(KernelError) -> Look {
    let required = request & HMMPFN.requestFault != 0
    let wantsWrite = required && request & HMMPFN.requestWrite != 0
    guard let vma = find(address), !vma.isSpecial || vma.flags.contains(.mixedMap),
      vma.protection.contains(.read)
    else {
      // R55: a required page is an error, never an error entry.
      if required { throw .EFAULT }
      return .result(HMMPFN.error)
    }
    let missing: () throws(KernelError) -> Look = { () throws(KernelError) in
      guard required else { return .result(0) }
      if wantsWrite && !vma.protection.contains(.write) { throw .EPERM }
      return .fault(write: wantsWrite)
    }
    guard let slot = leafSlot(address) else {
      guard let entry = hugeEntry(address) else { return try missing() }
      return try lookHuge(address, entry, request, owner, missing)
    }
    let entry = manager.tables.entries[slot]
    if entry.isNone { return try missing() }
    guard let kind = entry.kind else {
      if entry.has(PageTableEntry.Bit.noAccess) || (wantsWrite && !entry.isWritable) {
        return try missing()
      }
      let isHugetlb = vma.flags.contains(.hugetlb)
      if entry.has(PageTableEntry.Bit.special) && !entry.isZeroPage && !isHugetlb {
        // A frame without a page behind it (`!vm_normal_page`).
        if required { throw .EFAULT }
        return .result(HMMPFN.error)
      }
      let write = entry.isWritable ? HMMPFN.write : 0
      let order = isHugetlb ? UInt64(HugePage.order) << HMMPFN.orderShift : 0
      return .result(entry.frame.rawValue | HMMPFN.valid | write | order)
    }
    switch kind {
    case .deviceRead, .deviceWrite:
      let map = manager.devices.byNumber[Int(manager.pages[entry.frame.index].extra)]
      if let map, let owner, map.owner === owner {
        // R48: one's own page is reported as it is, never faulted.
        let write = kind == .deviceWrite ? HMMPFN.write : 0
        return .result(entry.frame.rawValue | HMMPFN.valid | write)
      }
      return try missing()
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      return required ? .wait(slot: slot, entry) : .result(0)
    case .swap, .exclusiveRead, .exclusiveWrite:
      return try missing()
    case .marker:
      return try missing()
    case .poison:
      if required { throw .EFAULT }
      return .result(0)
    }
  }

  /// As `look`, for a huge entry (`hmm_vma_handle_pmd`): its results carry the order 9.
  private func lookHuge(
    _ address: VirtualAddress, _ entry: PageTableEntry, _ request: UInt64, _ owner: PagemapOwner?,
    _ missing: () throws(KernelError) -> Look
  ) throws(KernelError) -> Look {
    let required = request & HMMPFN.requestFault != 0
    if entry.isMigration {
      guard required, let slot = upperSlot(address) else { return .result(0) }
      return .wait(slot: slot, entry)
    }
    var isWritable = entry.isWritable
    if entry.isDevicePrivate {
      // R48, as for one page.
      let map = manager.devices.byNumber[Int(manager.pages[entry.frame.index].extra)]
      guard let map, let owner, map.owner === owner else { return try missing() }
      isWritable = entry.kind == .deviceWrite
    } else if required && request & HMMPFN.requestWrite != 0 && !isWritable {
      return try missing()
    }
    let page = entry.frame.rawValue + UInt64(PageTableLevel.leafIndex(address))
    return .result(
      page | HMMPFN.valid | (isWritable ? HMMPFN.write : 0)
        | UInt64(HugePage.order) << HMMPFN.orderShift)
  }

  /// Faults one page in on behalf of a device; false without progress. Any failure is `EFAULT`.
  private func faultForDevice(
    _ address: VirtualAddress, write: Bool
  ) async throws(KernelError) -> Bool {
    switch await faultLocked(address, write: write) {
    case .done:
      return true
    case .retry:
      await kernel.yield()
      return false
    case .failed:
      throw .EFAULT
    }
  }
}

extension HMMRange {
  /// The request of one page: the array's bits that count, and the default ones.
  func request(at place: Int) -> UInt64 {
    pfns[place].rawValue & flagsMask | defaultFlags
  }
}
