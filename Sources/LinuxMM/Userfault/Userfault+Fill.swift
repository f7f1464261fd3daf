public import Base
import KernelRuntime

// How a handler fills places. Each stops at the first place that can't be filled: the answer is the
// number of pages filled, and the error is thrown only when there are none.
extension Userfault {
  /// Fills empty places from `start` on with `bytes`, which are whole pages, and wakes who sleeps
  /// there (`UFFDIO_COPY`).
  ///
  /// - `EINVAL`: not page aligned, no bytes; `isProtected` in a range not registered for that
  /// - `ENOENT`: nothing of this descriptor there
  /// - `EEXIST`: the place is filled
  /// - `EAGAIN`: an event waits to be read first
  /// - `ENOMEM`
  @discardableResult
  public func copy(
    _ start: VirtualAddress, _ bytes: [UInt8], isProtected: Bool = false, wakes: Bool = true
  ) async throws(KernelError) -> Int {
    guard bytes.count % PageSize.bytes == 0 else { throw .EINVAL }
    let range = VirtualRange(start: start, bytes: UInt64(bytes.count))
    let space = space
    return try await fill(range, wakes: wakes) { vma, address throws(KernelError) in
      guard !isProtected || vma.flags.contains(.userfaultWriteProtect) else { throw .EINVAL }
      let offset = Int(address.rawValue - start.rawValue)
      let page = Array(bytes[offset..<offset + PageSize.bytes])
      if vma.isAnonymous {
        try await space.insertAnonymous(vma, address, page, isProtected: isProtected)
      } else {
        try await space.insertShared(vma, address, page, isProtected: isProtected)
      }
    }
  }

  /// Fills empty places with zeroes (`UFFDIO_ZEROPAGE`). Errors as for
  /// ``copy(_:_:isProtected:wakes:)``.
  @discardableResult
  public func zeroPages(
    _ range: VirtualRange, wakes: Bool = true
  ) async throws(KernelError) -> Int {
    let space = space
    return try await fill(range, wakes: wakes) { vma, address throws(KernelError) in
      if vma.isAnonymous {
        try space.installEntry(.zeroPage, at: address)
      } else {
        try await space.insertShared(
          vma, address, [UInt8](repeating: 0, count: PageSize.bytes), isProtected: false)
      }
    }
  }

  /// Makes each touch of empty places a memory error (`UFFDIO_POISON`). Errors as
  /// ``copy(_:_:isProtected:wakes:)``.
  @discardableResult
  public func poison(
    _ range: VirtualRange, wakes: Bool = true
  ) async throws(KernelError) -> Int {
    let space = space
    return try await fill(range, wakes: wakes) { vma, address throws(KernelError) in
      // A mapping that has pages of its own is copied by a fork, and so is the mark.
      if vma.isAnonymous { _ = space.prepareRegion(vma) }
      try space.installEntry(.poisonMarker, at: address)
    }
  }

  /// Maps pages that shared memory has (`UFFDIO_CONTINUE`).
  ///
  /// `EFAULT` where it has none, `EINVAL` for other memory; else as
  /// ``copy(_:_:isProtected:wakes:)``.
  @discardableResult
  public func resume(
    _ range: VirtualRange, isProtected: Bool = false, wakes: Bool = true
  ) async throws(KernelError) -> Int {
    let space = space
    return try await fill(range, wakes: wakes) { vma, address throws(KernelError) in
      guard !isProtected || vma.flags.contains(.userfaultWriteProtect) else { throw .EINVAL }
      guard let file = vma.file, !vma.isAnonymous else { throw .EINVAL }
      guard file.hasPage(vma.index(of: address)) else { throw .EFAULT }
      let page = try await file.fetch(vma.index(of: address), for: space)
      defer {
        space.manager.unlock(page)
        space.manager.put(page)
      }
      try space.mapFilled(vma, file, page, at: address, isProtected: isProtected)
    }
  }

  /// Visits a range page by page until one fails.
  private func fill(
    _ range: VirtualRange, wakes: Bool,
    _ body: (VMA, VirtualAddress) async throws(KernelError) -> Void
  ) async throws(KernelError) -> Int {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    guard !space.isExiting else { throw .ESRCH }
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    guard changing == 0 else { throw .EAGAIN }
    var filled = 0
    do throws(KernelError) {
      for page in 0..<range.pages {
        let address = range.start + UInt64(page) << 12
        guard let vma = space.find(address), vma.userfault === self else { throw .ENOENT }
        try await body(vma, address)
        filled += 1
      }
    } catch {
      if filled == 0 { throw error }
    }
    if wakes { wakeFaults(VirtualRange(start: range.start, pages: filled)) }
    return filled
  }
}

extension AddressSpace {
  /// The place of an empty entry, or of a marker; `EEXIST` for any other.
  private func emptySlot(_ address: VirtualAddress) throws(KernelError) -> Int {
    if hugeEntry(address) != nil { throw .EEXIST }
    let slot =
      try makeLeafTable(address) << PageTablePool.tableShift | PageTableLevel.leafIndex(address)
    let entry = manager.tables.entries[slot]
    guard entry.isNone || entry == .protectMarker else { throw .EEXIST }
    return slot
  }

  func installEntry(_ entry: PageTableEntry, at address: VirtualAddress) throws(KernelError) {
    manager.tables.entries[try emptySlot(address)] = entry
  }

  /// Puts a new anonymous page with these bytes into an empty place (`mfill_atomic_pte_copy`).
  func insertAnonymous(
    _ vma: VMA, _ address: VirtualAddress, _ bytes: [UInt8], isProtected: Bool
  ) async throws(KernelError) {
    typealias Bit = PageTableEntry.Bit
    _ = try emptySlot(address)
    let page = try await manager.allocatePage(for: self)
    manager.ram.store(bytes: bytes, at: page.index << PageSize.shift)
    await kernel.point()
    // The allocation may have slept.
    let slot: Int
    do throws(KernelError) {
      guard !isUnstable else { throw .EFAULT }
      slot = try emptySlot(address)
    } catch {
      manager.put(page)
      throw error
    }
    let region = prepareRegion(vma)
    manager.addNewAnonymous(
      page.index, AnonymousPlace(region: region.number, index: vma.index(of: address)))
    manager.lru.add(page.index, cpu: manager.currentCPU)
    manager.pages[page.index].flags.formUnion(vma.arrivalFlags)
    tally.residentPages += 1
    var bits = Bit.dirty | Bit.softDirty
    if isProtected {
      bits |= Bit.userfaultWP
    } else if vma.protection.contains(.write) {
      bits |= Bit.write
    }
    if vma.protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
    manager.tables.entries[slot] = .present(page, bits)
  }

  /// Puts a new page with these bytes into shared memory and maps it (`shmem_mfill_atomic_pte`).
  func insertShared(
    _ vma: VMA, _ address: VirtualAddress, _ bytes: [UInt8], isProtected: Bool
  ) async throws(KernelError) {
    guard let file = vma.file else { throw .EINVAL }
    let index = vma.index(of: address)
    guard !file.hasPage(index) else { throw .EEXIST }
    let page = try await file.fetch(index, for: self)
    defer {
      manager.unlock(page)
      manager.put(page)
    }
    manager.ram.store(bytes: bytes, at: page.index << PageSize.shift)
    file.markDirty(page)
    try mapFilled(vma, file, page, at: address, isProtected: isProtected)
  }

  /// Maps a page of shared memory, locked by the caller, into an empty place.
  func mapFilled(
    _ vma: VMA, _ file: MappedFile, _ page: PFN, at address: VirtualAddress, isProtected: Bool
  ) throws(KernelError) {
    let slot = try emptySlot(address)
    manager.tables.entries[slot] = isProtected ? .protectMarker : .none
    mapCachedPage(vma, file, page, slot, write: vma.mayMapWritable)
  }
}

extension VMA {
  /// Whether a shared page may be mapped writable at once.
  fileprivate var mayMapWritable: Bool {
    flags.contains(.shared) && protection.contains(.write)
  }
}
