import Base
import KernelRuntime
import LinuxMM
import Testing

/// A device in the shape of the kernel's test driver (`lib/test_hmm.c`): memory of its own, private
/// or coherent, and one ``DeviceMirror`` for each process that opens it.
final class MirrorDevice {
  /// Pages that one command handles at a time, as the kernel's driver does.
  static let chunk = 64

  let mm: MemoryManager
  let kind: DevicePagemap.Kind
  let owner: PagemapOwner
  let range: PFNRange
  let pagemap: DevicePagemap
  /// The device's bytes; the CPU reaches them when the device is coherent.
  let memory: MappedMemory
  /// Free pages, the next one last.
  var free: [PFN]
  /// A device of the same owner, whose memory this one reaches over the bus.
  weak var peer: MirrorDevice?
  /// Processes that have the device open.
  var mirrors: [DeviceMirror] = []
  /// CPU touches that the driver had to serve.
  var faults = 0

  init(
    _ mm: MemoryManager, _ name: String, kind: DevicePagemap.Kind = .devicePrivate, pages: Int,
    owner: PagemapOwner? = nil
  ) throws {
    self.mm = mm
    self.kind = kind
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

  private final class Operations: DevicePagemapOperations {
    weak var device: MirrorDevice?
    func pageFree(_ pfn: PFN) { device?.free.append(pfn) }
    func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
      guard let device else { return .sigbus(.ENODEV) }
      return await device.migrateToRAM(fault)
    }
  }

  /// Which of a process's pages are this device's to take back.
  var select: MigrateSelect { kind == .devicePrivate ? .devicePrivate : .deviceCoherent }

  func open(_ space: AddressSpace) throws(KernelError) -> DeviceMirror {
    let mirror = try DeviceMirror(self, space)
    mirrors.append(mirror)
    return mirror
  }

  /// Where a page's bytes are: in RAM, or in a device's memory, one's own or another's.
  func bytes(_ pfn: PFN) -> (memory: MappedMemory, offset: Int) {
    if mm.isSystemPage(pfn) { return (mm.ram, pfn.index << 12) }
    if range.contains(pfn) { return (memory, (pfn.index - range.start.index) << 12) }
    if let peer, peer.range.contains(pfn) { return peer.bytes(pfn) }
    guard let map = mm.pagemap(of: pfn), let bytes = map.memory else {
      fatalError("page \(pfn) is another device's private memory")
    }
    return (bytes, (pfn.index - map.range.start.index) << 12)
  }

  func copy(_ source: PFN, to target: PFN) {
    let (from, at) = bytes(source)
    let (to, place) = bytes(target)
    to.copy(from: from, at: at, to: place, length: 4096)
  }

  private func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
    faults += 1
    let buffers = MigrationBuffers(pages: 1)
    do throws(KernelError) {
      let range = VirtualRange(start: fault.address, pages: 1)
      let pages = try await fault.space.migrateSetup(
        MigrationRequest(range, owner: owner, select: select, faultPage: fault.page), buffers)
      guard copyToRAM(pages) else {
        pages.abandon()
        return .outOfMemory
      }
      forget(fault.space, range)
      await pages.commit().finalize()
      return .done
    } catch {
      return .sigbus(error)
    }
  }

  /// Gives each collected page a page of RAM; false when none is left.
  func copyToRAM(_ pages: borrowing CollectedPages) -> Bool {
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let source = pages[source: index].pfn else { continue }
      guard let run = try? mm.allocateLockedRun(upTo: 1) else { return false }
      copy(source, to: run.start)
      pages[destination: index] = MigratePFN(run.start)
    }
    return true
  }

  /// Gives each collected page or empty place a device page, while there are any.
  func copyToDevice(_ pages: borrowing CollectedPages) {
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let page = free.popLast() else { return }
      mm.initDevicePage(page)
      if let source = pages[source: index].pfn {
        copy(source, to: page)
      } else {
        let (memory, offset) = bytes(page)
        memory.fill(0, at: offset, length: 4096)
      }
      pages[destination: index] = MigratePFN(page)
    }
  }

  /// The device's tables of one process lose a range.
  func forget(_ space: AddressSpace, _ range: VirtualRange) {
    for mirror in mirrors where mirror.space === space { mirror.forget(range) }
  }

  /// Takes the device's memory away: every page goes back to RAM (`HMM_DMIRROR_RELEASE`).
  func release() async throws(KernelError) {
    let buffers = MigrationBuffers(pages: range.count)
    while pagemap.references > 0 {
      let pages = await mm.migrateDeviceSetup(range, buffers)
      guard copyToRAM(pages) else {
        pages.abandon()
        throw .ENOMEM
      }
      await pages.commit().finalize()
    }
    for mirror in mirrors { mirror.table.removeAll() }
    await mm.memunmap(pagemap)
    mm.releaseMemRegion(range)
  }
}
