public import Base
import KernelRuntime

/// What `mlockall` locks.
public struct LockAll: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// `MCL_CURRENT`: the mappings that there are.
  public static let current = LockAll(rawValue: 1)
  /// `MCL_FUTURE`: the mappings to come.
  public static let future = LockAll(rawValue: 2)
  /// `MCL_ONFAULT`: nothing is faulted in now.
  public static let onFault = LockAll(rawValue: 4)
}

extension AddressSpace {
  /// Locks the pages around `range` in RAM and faults them in (`mlock`, `mlock2`): pages on a
  /// device come back. A driver may migrate them to its device all the same.
  ///
  /// - `EPERM`: the limit is zero
  /// - `ENOMEM`: beyond ``lockLimit``; or part of the range isn't mapped or can't be faulted in,
  ///   and what lies before the first hole stays locked
  /// - `EAGAIN`: no memory for a page; the range stays locked
  public func lockMemory(
    _ range: VirtualRange, onFault: Bool = false
  ) async throws(KernelError) {
    guard lockLimit > 0 else { throw .EPERM }
    guard let range = range.roundedToPages else { throw .EINVAL }
    if range.isEmpty { return }
    await mmapLock.lock()
    let already = mappings.reduce(0) {
      $0 + ($1.flags.contains(.locked) ? $1.range.intersection(range)?.pages ?? 0 : 0)
    }
    guard UInt64(lockedPages - already + range.pages) <= lockLimit >> 12 else {
      mmapLock.unlock()
      throw .ENOMEM
    }
    let isWhole = await setLocked(range, onFault ? [.locked, .lockedOnFault] : .locked)
    mmapLock.unlock()
    guard isWhole else { throw .ENOMEM }
    if !onFault { try await populateLocked(range) }
  }

  /// Ends what ``lockMemory(_:onFault:)`` began (`munlock`); `ENOMEM` when part of the range isn't
  /// mapped, and what lies before the first hole is unlocked.
  public func unlockMemory(_ range: VirtualRange) async throws(KernelError) {
    guard let range = range.roundedToPages else { throw .EINVAL }
    if range.isEmpty { return }
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    guard await setLocked(range, []) else { throw .ENOMEM }
  }

  /// Locks all mappings (`mlockall`).
  ///
  /// `EINVAL` for nothing to lock, `EPERM` for a limit of zero, `ENOMEM` beyond ``lockLimit``.
  public func lockAllMemory(_ what: LockAll) async throws(KernelError) {
    guard !what.isEmpty, what != .onFault else { throw .EINVAL }
    guard lockLimit > 0 else { throw .EPERM }
    await mmapLock.lock()
    let pages = mappings.reduce(0) { $0 + $1.range.pages }
    guard !what.contains(.current) || UInt64(pages) <= lockLimit >> 12 else {
      mmapLock.unlock()
      throw .ENOMEM
    }
    let flags: VMA.Flags = what.contains(.onFault) ? [.locked, .lockedOnFault] : .locked
    futureLock = what.contains(.future) ? flags : []
    var ranges: [VirtualRange] = []
    if what.contains(.current) {
      ranges = mappings.map(\.range)
      for range in ranges { _ = await setLocked(range, flags) }
    }
    mmapLock.unlock()
    guard !what.contains(.onFault) else { return }
    // As the kernel does: what can't be faulted in is no error here.
    for range in ranges { try? await populateLocked(range) }
  }

  /// Unlocks all mappings, and those to come (`munlockall`).
  public func unlockAllMemory() async {
    await mmapLock.lock()
    futureLock = []
    for range in mappings.map(\.range) { _ = await setLocked(range, []) }
    mmapLock.unlock()
  }

  /// Pages of locked mappings (`locked_vm`).
  public var lockedPages: Int {
    mappings.reduce(0) { $0 + ($1.flags.contains(.locked) ? $1.range.pages : 0) }
  }

  /// Whether a new mapping may be locked with those to come (`mlock_future_ok`); else `EAGAIN`.
  func checkLockLimit(_ range: VirtualRange) throws(KernelError) {
    guard futureLock.contains(.locked) else { return }
    guard UInt64(lockedPages + range.pages) <= lockLimit >> 12 else { throw .EAGAIN }
  }

  /// Faults a new mapping in when ``LockAll/future`` asks for that; failures are found by the
  /// access.
  func populateLocked(new range: VirtualRange) async {
    guard futureLock.contains(.locked), !futureLock.contains(.lockedOnFault) else { return }
    try? await populate(range)
  }

  /// Gives the mappings of a range up to its first hole these lock flags; false when there is one
  /// (`apply_vma_lock_flags`).
  ///
  /// LOCKING: `mmapLock` held for writing.
  private func setLocked(_ range: VirtualRange, _ flags: VMA.Flags) async -> Bool {
    let whole = range
    let range = VirtualRange(whole.start, firstHole(in: whole))
    if range.isEmpty { return false }
    await splitHugeEnds(range)
    for vma in mappings[isolate(range)] where vma.flags.isDisjoint(with: [.special, .hugetlb]) {
      vma.flags = vma.flags.subtracting([.locked, .lockedOnFault]).union(flags)
      forEachLeafTable(in: vma.range) { table, part in
        let block = manager.tables.block(table)
        let first = PageTableLevel.leafIndex(part.start)
        for slot in first..<first + part.pages {
          let entry = block[slot]
          guard entry.isPresent, !entry.has(PageTableEntry.Bit.special),
            manager.isSystemPage(entry.frame)
          else {
            continue
          }
          if flags.contains(.locked) {
            manager.pages[entry.frame.index].flags.insert(.mlocked)
          } else {
            manager.settleLocked(entry.frame.index)
          }
        }
      }
    }
    merge(around: range)
    return range.end == whole.end
  }

  /// The first address of a range that isn't mapped; its end when all of it is.
  private func firstHole(in range: VirtualRange) -> VirtualAddress {
    var address = range.start
    for vma in mappings[firstMapping(above: range.start)...] {
      guard vma.start <= address, address < range.end else { break }
      address = vma.end
    }
    return min(address, range.end)
  }

  /// Faults a locked range in (`mm_populate`), with the errors of `mlock`.
  private func populateLocked(_ range: VirtualRange) async throws(KernelError) {
    do throws(AccessError) {
      try await populate(range)
    } catch {
      if case .outOfMemory = error { throw .EAGAIN }
      throw .ENOMEM
    }
  }

  /// Touches every page of a range, for writing where the mapping allows it.
  func populate(_ range: VirtualRange) async throws(AccessError) {
    for page in 0..<range.pages {
      let address = range.start + UInt64(page) << 12
      let write = find(address)?.protection.contains(.write) ?? false
      _ = try await resolve(address, write: write)
    }
  }
}

extension MemoryManager {
  /// Takes the lock mark off a page that no locked mapping maps any more (`munlock_folio`).
  func settleLocked(_ pfn: Int) {
    for (vma, space, address) in places(of: pfn) where vma.flags.contains(.locked) {
      guard let slot = space.leafSlot(address) else { continue }
      let entry = tables.entries[slot]
      if entry.isPresent && entry.frame.index == pfn { return }
    }
    pages[pfn].flags.remove(.mlocked)
  }

  /// Whether reclaim leaves the page alone because a mapping of it is locked (`PageMlocked`).
  public func isUnevictable(_ pfn: PFN) -> Bool { pages[pfn.index].flags.contains(.mlocked) }
}

extension VirtualRange {
  /// The range with its ends moved outwards to page borders; nil past the top of the address space.
  var roundedToPages: VirtualRange? {
    let last = end.rawValue.addingReportingOverflow(4095)
    guard !last.overflow else { return nil }
    return VirtualRange(start.pageBase, VirtualAddress(last.partialValue & ~4095))
  }
}
