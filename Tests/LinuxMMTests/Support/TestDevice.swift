import Base
import KernelRuntime
import LinuxMM
import Testing

/// A device that is nothing but memory, private or coherent, and a driver that copies by hand.
final class TestDevice: DevicePagemapOperations {
  let mm: MemoryManager
  let owner: PagemapOwner
  let range: PFNRange
  let pagemap: DevicePagemap
  let memory: MappedMemory
  /// Free pages, the next one last.
  var free: [PFN]
  /// Pages given back, in order.
  var freed: [PFN] = []
  var faults = 0
  /// Huge pages that were split, in order.
  var splits: [PFNRange] = []
  /// What a fault answers instead of bringing the page back.
  var answer: FaultOutcome?
  /// Serves faults instead of the device's own way.
  var handler: ((DeviceFault) async -> FaultOutcome)?
  /// Runs inside a fault, between collection and copy.
  var duringFault: (() async -> Void)?
  /// Runs inside `pageFree`.
  var onFree: ((PFN) -> Void)?

  init(
    _ mm: MemoryManager, _ name: String, pages: Int, kind: DevicePagemap.Kind = .devicePrivate,
    owner: PagemapOwner? = nil
  ) throws {
    self.mm = mm
    self.owner = owner ?? PagemapOwner(name)
    range = try mm.requestFreeMemRegion(bytes: UInt64(pages) << 12, name: name)
    memory = try MappedMemory(count: pages << 12)
    free = []
    // The object must exist before it can be the pagemap's operations.
    let operations = Operations()
    pagemap = DevicePagemap(
      kind: kind, range: range, owner: self.owner, operations: operations,
      memory: kind == .deviceCoherent ? memory : nil)
    try mm.memremap(pagemap)
    operations.device = self
    free = (0..<pages).reversed().map { range.start + UInt64($0) }
  }

  /// Forwards to the device, which owns it through the pagemap.
  private final class Operations: DevicePagemapOperations {
    weak var device: TestDevice?
    func pageFree(_ pfn: PFN) { device?.pageFree(pfn) }
    func folioSplit(_ range: PFNRange) { device?.splits.append(range) }
    func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
      guard let device else { return .sigbus(.ENODEV) }
      return await device.migrateToRAM(fault)
    }
  }

  func offset(_ pfn: PFN) -> Int { (pfn.index - range.start.index) << 12 }

  func pageFree(_ pfn: PFN) {
    freed.append(pfn)
    free.append(pfn)
    onFree?(pfn)
  }

  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
    faults += 1
    if let answer { return answer }
    if let handler { return await handler(fault) }
    // All of the page that was hit, of 2 MiB perhaps.
    let count = 1 << fault.order
    let base = VirtualAddress(fault.address.rawValue & ~UInt64(count << 12 - 1))
    do throws(KernelError) {
      let request = MigrationRequest(
        VirtualRange(start: base, pages: count), owner: owner,
        select: fault.order > 0 ? [.devicePrivate, .compound] : .devicePrivate,
        faultPage: fault.page)
      let pages = try await fault.space.migrateSetup(request, MigrationBuffers(pages: count))
      if let duringFault { await duringFault() }
      do throws(KernelError) {
        try copyToRAM(pages)
      } catch {
        pages.abandon()
        return error == .ENOMEM ? .outOfMemory : .sigbus(error)
      }
      await pages.commit().finalize()
      return .done
    } catch {
      return .sigbus(error)
    }
  }

  /// Where a page's bytes are: in RAM, or in memory that the CPU reaches too.
  func reachable(_ pfn: PFN) -> (memory: MappedMemory, place: Int) {
    guard let map = mm.pagemap(of: pfn), let bytes = map.memory else {
      return (mm.ram, pfn.index << 12)
    }
    return (bytes, (pfn.index - map.range.start.index) << 12)
  }

  /// Gives each collected page a device page, and copies or clears.
  @discardableResult
  func copyToDevice(_ pages: borrowing CollectedPages) -> Int {
    var copied = 0
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let page = free.popLast() else { break }
      mm.initDevicePage(page)
      if let source = pages[source: index].pfn {
        let (bytes, place) = reachable(source)
        memory.copy(from: bytes, at: place, to: offset(page), length: 4096)
      } else {
        memory.fill(0, at: offset(page), length: 4096)
      }
      pages[destination: index] = MigratePFN(page)
      copied += 1
    }
    return copied
  }

  func copyToRAM(_ pages: borrowing CollectedPages) throws(KernelError) {
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let source = pages[source: index].pfn else { continue }
      if pages[source: index].isCompound {
        try copyHugeToRAM(pages, index, source)
        continue
      }
      let page = try mm.allocatePage()
      let locked = mm.tryLock(page)
      #expect(locked)
      mm.ram.copy(from: memory, at: offset(source), to: page.index << 12, length: 4096)
      pages[destination: index] = MigratePFN(page)
    }
  }

  /// Moves a range of a process to the device; how many places moved.
  @discardableResult
  func take(
    _ space: AddressSpace, _ range: VirtualRange, select: MigrateSelect = .system
  ) async throws(KernelError) -> Int {
    try await move(space, range, select) { copyToDevice($0) }.count
  }

  /// Moves a range with destinations from `copy`; the words that moved.
  func move(
    _ space: AddressSpace, _ range: VirtualRange, _ select: MigrateSelect,
    during: (() async -> Void)? = nil, copy: (borrowing CollectedPages) -> Void
  ) async throws(KernelError) -> [MigratePFN] {
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    let pages = try await space.migrateSetup(
      MigrationRequest(range, owner: owner, select: select), MigrationBuffers(pages: range.pages))
    copy(pages)
    if let during { await during() }
    let committed = await pages.commit()
    let moved = (0..<committed.count).map { committed[source: $0] }.filter(\.migrates)
    committed.finalize()
    return moved
  }

  /// Brings every page back, wherever it is mapped, until a pass moves none; how many are left.
  @discardableResult
  func evict() async throws(KernelError) -> Int {
    let buffers = MigrationBuffers(pages: range.count)
    while true {
      let pages = await mm.migrateDeviceSetup(range, buffers)
      do throws(KernelError) {
        try copyToRAM(pages)
      } catch {
        pages.abandon()
        throw error
      }
      let committed = await pages.commit()
      let moved = (0..<committed.count).count { committed[source: $0].migrates }
      committed.finalize()
      if moved == 0 { return pagemap.references }
    }
  }

  /// The first word of a device page.
  func word(_ pfn: PFN) -> UInt64 { memory.load(UInt64.self, at: offset(pfn)) }
}
