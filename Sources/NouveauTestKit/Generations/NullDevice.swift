import Base
import KernelRuntime
import LinuxMM

/// A device that gives pages and moves no bytes: what is measured on it is the core alone.
final class NullDevice: DevicePagemapOperations {
  let owner = PagemapOwner("null")
  private let mm: MemoryManager
  private var free: [PFN] = []

  init(_ mm: MemoryManager, pages: Int) throws(KernelError) {
    self.mm = mm
    let range = try mm.requestFreeMemRegion(bytes: UInt64(pages) << 12, name: "null device")
    let operations = Forwarder()
    try mm.memremap(
      DevicePagemap(kind: .devicePrivate, range: range, owner: owner, operations: operations))
    operations.device = self
    free = (0..<pages).reversed().map { range.start + UInt64($0) }
  }

  /// The pagemap keeps its operations, and this device the pagemap.
  private final class Forwarder: DevicePagemapOperations {
    weak var device: NullDevice?
    func pageFree(_ pfn: PFN) { device?.pageFree(pfn) }
    func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { .sigbus(.ENODEV) }
  }

  func pageFree(_ pfn: PFN) { free.append(pfn) }
  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { .sigbus(.ENODEV) }

  /// Gives each place that `takes` says yes to a page, commits and finalizes. The places that
  /// moved.
  func finish(
    _ pages: consuming CollectedPages, takes: (MigratePFN) -> Bool = { _ in true }
  ) async -> Int {
    for place in 0..<pages.count where pages[source: place].migrates {
      guard takes(pages[source: place]), let page = free.popLast() else { continue }
      mm.initDevicePage(page)
      pages[destination: place] = MigratePFN(page)
    }
    let committed = await pages.commit()
    let moved = (0..<committed.count).count { committed[source: $0].migrates }
    committed.finalize()
    return moved
  }
}
