import Base
import KernelRuntime
import LinuxMM

/// One process's use of a ``MirrorDevice``: the device's page table of that process, kept in step
/// by a notifier of the whole address space.
final class DeviceMirror: IntervalNotifierOperations {
  struct Entry: Equatable {
    enum Access { case read, write, atomic }
    var pfn: PFN
    var access: Access
  }

  /// What a snapshot says of a page (`HMM_DMIRROR_PROT_*`).
  struct Shown: OptionSet, Equatable, CustomStringConvertible {
    let rawValue: Int
    static let none = Shown([])
    static let read = Shown(rawValue: 1)
    static let write = Shown(rawValue: 2)
    /// Mapped by the CPU as part of a huge page.
    static let pmd = Shown(rawValue: 4)
    static let zero = Shown(rawValue: 8)
    static let error = Shown(rawValue: 16)
    static let local = Shown(rawValue: 32)
    static let remote = Shown(rawValue: 64)
    var description: String {
      let names = ["read", "write", "pmd", "zero", "error", "local", "remote"]
      let set = names.enumerated().filter { rawValue & (1 << $0.offset) != 0 }.map(\.element)
      return set.isEmpty ? "none" : set.joined(separator: " ")
    }
  }

  let device: MirrorDevice
  let space: AddressSpace
  /// The device's page table, by page number.
  var table: [UInt64: Entry] = [:]
  private var notifier: IntervalNotifier?
  /// Device faults since the last command began.
  private(set) var faults = 0
  /// Pages that commands moved to the device or back.
  private(set) var moved = 0
  /// Events that reached the mirror, in order.
  var events: [NotifierEvent.Kind] = []

  init(_ device: MirrorDevice, _ space: AddressSpace) throws(KernelError) {
    self.device = device
    self.space = space
    notifier = try space.insertNotifier(.user, self)
  }

  /// Ends the use (`dmirror_fops_release`).
  func close() async {
    await notifier?.remove()
    notifier = nil
    table.removeAll()
    device.mirrors.removeAll { $0 === self }
  }

  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    // R65: the driver's own migrations update the table themselves.
    if event.kind == .migrate && event.owner === device.owner { return true }
    notifier.setSequence(sequence)
    events.append(event.kind)
    forget(event.range)
    return true
  }

  func forget(_ range: VirtualRange) {
    let pages = range.start.page..<range.end.page
    if pages.count < table.count {
      for page in pages { table[page] = nil }
    } else {
      table = table.filter { !pages.contains($0.key) }
    }
  }

  func entry(_ address: VirtualAddress) -> Entry? { table[address.page] }

  /// Parts of a range that one call of the core handles.
  private func chunks(_ range: VirtualRange) -> [VirtualRange] {
    stride(from: 0, to: range.pages, by: MirrorDevice.chunk).map {
      range.subrange($0..<min($0 + MirrorDevice.chunk, range.pages))
    }
  }

  /// Parts that lie in one mapping each; `EINVAL` for one without a mapping that can be read.
  private func mapped(
    _ address: VirtualAddress, _ end: VirtualAddress
  ) throws(KernelError) -> VirtualRange {
    guard let vma = space.find(address), vma.protection.contains(.read) else { throw .EINVAL }
    let limit = min(end, vma.range.end)
    return VirtualRange(address, min(limit, address + UInt64(MirrorDevice.chunk) << 12))
  }

  // MARK: what the device does

  /// The bytes of a range as the device reads them (`HMM_DMIRROR_READ`).
  func read(_ range: VirtualRange) async throws(KernelError) -> [UInt8] {
    faults = 0
    var bytes: [UInt8] = []
    for page in 0..<range.pages {
      let entry = try await entry(range.page(page), range.end) { _ in true }
      let (memory, offset) = device.bytes(entry.pfn)
      bytes += memory.bytes(at: offset, count: 4096)
    }
    return bytes
  }

  /// Writes whole pages as the device (`HMM_DMIRROR_WRITE`).
  func write(_ range: VirtualRange, _ bytes: [UInt8]) async throws(KernelError) {
    faults = 0
    for page in 0..<range.pages {
      let entry = try await entry(range.page(page), range.end) { $0.access == .write }
      let (memory, offset) = device.bytes(entry.pfn)
      memory.store(bytes: Array(bytes[page << 12..<(page + 1) << 12]), at: offset)
    }
  }

  /// The device's entry of a page, after faults where it needs them; nothing sleeps after it.
  private func entry(
    _ address: VirtualAddress, _ end: VirtualAddress, _ isEnough: (Entry) -> Bool
  ) async throws(KernelError) -> Entry {
    let writes = !isEnough(Entry(pfn: PFN(0), access: .read))
    for _ in 0..<100 {
      if let entry = table[address.page], isEnough(entry) { return entry }
      faults += 1
      for part in chunks(VirtualRange(address, end)) { try await fault(part, write: writes) }
    }
    throw .EBUSY
  }

  /// Fills the device's table for a range (`dmirror_fault`).
  private func fault(_ range: VirtualRange, write: Bool) async throws(KernelError) {
    let flags = HMMPFN.requestFault | (write ? HMMPFN.requestWrite : 0)
    let pfns = try await mirrored(range, flags)
    for (index, pfn) in pfns.enumerated() {
      guard let page = pfn.pfn else { throw .EFAULT }
      table[range.page(index).page] = Entry(pfn: page, access: pfn.isWritable ? .write : .read)
    }
  }

  /// Looks a range up; the answer holds until the next await (`dmirror_range_fault`).
  private func mirrored(
    _ range: VirtualRange, _ flags: UInt64
  ) async throws(KernelError) -> [HMMPFN] {
    guard let notifier else { throw .EINVAL }
    for _ in 0..<100 {
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range,
        owner: device.owner, defaultFlags: flags)
      var failure: KernelError?
      do throws(KernelError) {
        try await space.hmmRangeFaultUnlocked(&request)
      } catch {
        failure = error
      }
      if let failure, failure != .EBUSY { throw failure }
      if failure == nil && !notifier.readRetry(request.sequence) { return request.pfns }
    }
    throw .EBUSY
  }

  // MARK: commands

  /// Moves a range to the device (`HMM_DMIRROR_MIGRATE_TO_DEV`) and reads it there: `EINVAL` where
  /// nothing readable is mapped, `ENOENT` when a page did not move.
  ///
  /// - Parameter select: with `devicePrivate`, pages of a peer are copied from there.
  @discardableResult
  func migrateToDevice(
    _ range: VirtualRange, select: MigrateSelect = .system
  ) async throws(KernelError) -> [UInt8] {
    moved = 0
    await space.mmapLock.lockShared()
    var failure: KernelError?
    var address = range.start
    do throws(KernelError) {
      while address < range.end {
        let part = try mapped(address, range.end)
        try await takePart(part, select)
        address = part.end
      }
    } catch {
      failure = error
    }
    space.mmapLock.unlockShared()
    if let failure { throw failure }
    return try readPresent(range)
  }

  private func takePart(
    _ part: VirtualRange, _ select: MigrateSelect
  ) async throws(KernelError) {
    let isWritable = space.find(part.start)?.protection.contains(.write) == true
    let pages = try await space.migrateSetup(
      MigrationRequest(part, owner: device.owner, select: select),
      MigrationBuffers(pages: part.pages))
    // The notice of this migration is of our owner, so a peer lets it pass: its entries go here.
    for index in 0..<part.pages where pages[source: index].migrates {
      device.peer?.forget(space, part.subrange(index..<index + 1))
    }
    device.copyToDevice(pages)
    let committed = await pages.commit()
    for index in 0..<committed.count where committed[source: index].migrates {
      guard let page = committed[destination: index].pfn else { continue }
      let source = committed[source: index]
      let writes = source.isWritable || (source.pfn == nil && isWritable)
      table[part.page(index).page] = Entry(pfn: page, access: writes ? .write : .read)
      moved += 1
    }
    committed.finalize()
  }

  /// Moves a range back to RAM (`HMM_DMIRROR_MIGRATE_TO_SYS`); how many pages came.
  @discardableResult
  func migrateToSystem(_ range: VirtualRange) async throws(KernelError) -> Int {
    moved = 0
    await space.mmapLock.lockShared()
    var failure: KernelError?
    var address = range.start
    do throws(KernelError) {
      while address < range.end {
        let part = try mapped(address, range.end)
        let pages = try await space.migrateSetup(
          MigrationRequest(part, owner: device.owner, select: device.select),
          MigrationBuffers(pages: part.pages))
        guard device.copyToRAM(pages) else {
          pages.abandon()
          throw .ENOMEM
        }
        for index in 0..<part.pages where pages[source: index].pfn != nil {
          forget(part.subrange(index..<index + 1))
        }
        let committed = await pages.commit()
        for index in 0..<part.pages
        where committed[source: index].migrates && committed[source: index].pfn != nil {
          moved += 1
        }
        committed.finalize()
        address = part.end
      }
    } catch {
      failure = error
    }
    space.mmapLock.unlockShared()
    if let failure { throw failure }
    return moved
  }

  /// What the process's entries say, without a fault (`HMM_DMIRROR_SNAPSHOT`).
  func snapshot(_ range: VirtualRange) async throws(KernelError) -> [Shown] {
    var shown: [Shown] = []
    for part in chunks(range) {
      for pfn in try await mirrored(part, 0) { shown.append(show(pfn)) }
    }
    return shown
  }

  private func show(_ word: HMMPFN) -> Shown {
    if word.isError { return .error }
    guard let pfn = word.pfn else { return .none }
    var shown: Shown = word.isWritable ? .write : .read
    if device.mm.isDevicePrivate(pfn) {
      guard device.range.contains(pfn) else { return .none }
      shown.insert(.local)
    } else if device.mm.isDeviceCoherent(pfn) {
      shown.insert(device.range.contains(pfn) ? .local : .remote)
    } else if pfn == MemoryManager.zeroPage {
      shown.insert(.zero)
    }
    if word.mapOrder == 9 { shown.insert(.pmd) }
    return shown
  }

  /// Takes a range for the device alone (`HMM_DMIRROR_EXCLUSIVE`) and reads it: `EBUSY` when a page
  /// can't be had.
  @discardableResult
  func exclusive(_ range: VirtualRange) async throws(KernelError) -> [UInt8] {
    await space.mmapLock.lockShared()
    var failure: KernelError?
    do throws(KernelError) {
      for part in chunks(range) { try await takeExclusive(part) }
    } catch {
      failure = error
    }
    space.mmapLock.unlockShared()
    if let failure { throw failure }
    return try readPresent(range)
  }

  private func takeExclusive(_ part: VirtualRange) async throws(KernelError) {
    let pages = try await space.makeDeviceExclusive(part, owner: nil)
    for (index, page) in pages.enumerated() {
      guard let page else { continue }
      table[part.page(index).page] = Entry(pfn: page, access: .atomic)
      device.mm.unlock(page)
      device.mm.put(page)
    }
    guard pages.count == part.pages, !pages.contains(nil) else { throw .EBUSY }
  }

  /// `EPERM` while a page of the range is the device's alone (`HMM_DMIRROR_CHECK_EXCLUSIVE`).
  func checkExclusive(_ range: VirtualRange) throws(KernelError) {
    for page in 0..<range.pages where table[range.page(page).page]?.access == .atomic {
      throw .EPERM
    }
  }

  /// The bytes of pages that the device has entries of; `ENOENT` for one that it has none of.
  private func readPresent(_ range: VirtualRange) throws(KernelError) -> [UInt8] {
    var bytes: [UInt8] = []
    for page in 0..<range.pages {
      guard let entry = table[range.page(page).page] else { throw .ENOENT }
      let (memory, offset) = device.bytes(entry.pfn)
      bytes += memory.bytes(at: offset, count: 4096)
    }
    return bytes
  }
}
