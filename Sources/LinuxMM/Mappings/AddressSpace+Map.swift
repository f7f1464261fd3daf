public import Base
import KernelRuntime

extension AddressSpace {
  /// Maps `bytes`, rounded up to pages (`mmap`); nothing is populated.
  ///
  /// - Parameters:
  ///   - at: where, refusing to replace what is there (`MAP_FIXED_NOREPLACE`); nil leaves the
  ///     choice to the core.
  ///   - flags: with `shared` beside `anonymous` a child of `fork` sees the same memory.
  ///   - name: as `PR_SET_VMA_ANON_NAME`; mappings of different names don't merge.
  ///
  /// `EINVAL` for no bytes or an address that isn't page aligned, `EEXIST` when something is mapped
  /// there, `ENOMEM` when there is no room, `EAGAIN` when it would be locked in memory beyond
  /// ``lockLimit``.
  public func map(
    bytes: UInt64, _ protection: Protection, at: VirtualAddress? = nil,
    flags: VMA.Flags = .anonymous, name: String = ""
  ) async throws(KernelError) -> VirtualAddress {
    guard bytes > 0 else { throw .EINVAL }
    guard bytes <= VirtualRange.user.bytes, !isExiting else { throw .ENOMEM }
    if flags.isSuperset(of: [.anonymous, .shared]) {
      // Shared memory is a file that only its mappings know (`shmem_zero_setup`).
      let memory = try manager.makeSharedMemory(bytes: bytes)
      let rest = flags.subtracting(.anonymous).union(.file)
      do throws(KernelError) {
        return try await map(memory, page: 0, bytes: bytes, protection, rest, at: at, name)
      } catch {
        manager.files[memory.number] = nil
        throw error
      }
    }
    let range = try await insertAnonymous(bytes, protection, at, flags, name)
    await populateLocked(new: range)
    return range.start
  }

  private func insertAnonymous(
    _ bytes: UInt64, _ protection: Protection, _ at: VirtualAddress?, _ flags: VMA.Flags,
    _ name: String
  ) async throws(KernelError) -> VirtualRange {
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    let range = try findPlace(bytes, at)
    try checkLockLimit(range)
    insert(
      VMA(self, range, protection, flags.union(futureLock), name, pageOffset: range.start.page))
    merge(around: range)
    return range
  }

  /// Where a new mapping goes (`get_unmapped_area`).
  ///
  /// LOCKING: `mmapLock` held for writing.
  func findPlace(_ bytes: UInt64, _ at: VirtualAddress?) throws(KernelError) -> VirtualRange {
    let length = PageSize.pages(forBytes: bytes) << UInt64(PageSize.shift)
    guard let at else {
      guard let room = findRoom(length) else { throw .ENOMEM }
      return VirtualRange(start: room, bytes: length)
    }
    guard at.isPageAligned else { throw .EINVAL }
    guard at.rawValue <= VirtualRange.user.end.rawValue - length else { throw .ENOMEM }
    let range = VirtualRange(start: at, bytes: length)
    guard !isMapped(range) else { throw .EEXIST }
    return range
  }

  /// Ends the mappings of `range` (`munmap`); parts that aren't mapped don't matter.
  ///
  /// `EINVAL` for an empty range, or ends that aren't page aligned or lie within a hugetlb page.
  public func unmap(_ range: VirtualRange) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lock()
    guard !splitsHugetlb(range) else {
      mmapLock.unlock()
      throw .EINVAL
    }
    let watched = watchedParts(of: range, .eventUnmap)
    await unmapLocked(range)
    mmapLock.unlock()
    for (watch, part) in watched { await watch.post(.unmap(part)) }
  }

  /// Ends the mappings of a range that may have none.
  ///
  /// LOCKING: `mmapLock` held for writing.
  func unmapLocked(_ range: VirtualRange) async {
    guard isMapped(range) else { return }
    await splitHugeEnds(range)
    isolate(range)
    let event = NotifierEvent(.unmap, range)
    await invalidateStart(event)
    manager.drainLRU()
    removeMappings(range)
    invalidateEnd(event)
  }

  /// Drops the pages of `range`, which reads as zeroes again (`madvise(MADV_DONTNEED)`).
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned; else as ``advise(_:_:)``.
  public func discard(_ range: VirtualRange) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    try await advise(range, .dontNeed)
  }

  /// Ends the process's memory (`exit_mmap`): mirrors are released first (R68), then everything is
  /// unmapped and the tables are freed.
  public func exit() async {
    guard !isExiting else { return }
    isExiting = true
    let all = VirtualRange.user
    for notifier in notifiers.wholeSpace { await notifier.release(self) }
    let release = NotifierEvent(.release, all)
    await invalidateStart(release)
    invalidateEnd(release)
    await mmapLock.lock()
    let event = NotifierEvent(.unmap, all)
    await invalidateStart(event)
    manager.drainLRU()
    for vma in mappings { zap(vma.range) }
    freeTables(all, floor: all.start, ceiling: all.end)
    invalidateEnd(event)
    forget(0..<mappings.count)
    manager.tables.give(root)
    tally.pageTables -= 1
    root = 0
    mmapLock.unlock()
    manager.addressSpaces.removeAll { $0 === self }
  }

  /// Marks the memory as reaped by the OOM killer (`MMF_UNSTABLE`): nothing may be filled in any
  /// more, by a fault or by a migration.
  public func markUnstable() { wasReaped = true }

  /// Watches `range` for missing pages (`UFFDIO_REGISTER`, missing mode with
  /// `UFFD_FEATURE_SIGBUS`):
  /// a touch of an empty place gets SIGBUS, and migration leaves empty places alone.
  public func watchMissing(_ range: VirtualRange) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    guard covers(range) else { throw .ENOMEM }
    for vma in mappings[isolate(range)] { vma.flags.insert(.userfaultMissing) }
    merge(around: range)
  }
}
