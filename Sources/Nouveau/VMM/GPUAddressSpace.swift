package import Base
package import KernelRuntime
import NVHardware

/// A GPU virtual address space: five levels of page tables in VRAM (`struct nvkm_vmm`).
///
/// Tables are made as they are needed and given back when empty. Every change ends with one
/// invalidation of the TLBs, and memory of a table goes back only after it.
///
/// LOCKING: ``lock`` (`nvkm_vmm.mutex`) around every change.
package final class GPUAddressSpace {
  package let name: String
  package let mmu: MMU
  let memory: InstanceMemory
  let kernel: Kernel
  let root: PageTable
  /// First address past the end.
  package let limit: UInt64
  /// Whether BAR1 or BAR2 go through it: then only the hub's TLBs know it.
  let isBAR: Bool
  /// Whether faults of some units park until replayed.
  let isReplayable: Bool
  package let lock: SleepingLock
  private var addresses: AddressRanges
  /// Tables that exist beside the root.
  package internal(set) var tableCount = 0

  /// Makes the root. Passes `nouveau.gpu_page_table`.
  ///
  /// Kernel: gp100_vmm_new_, nvkm_vmm_new_ (nvkm/subdev/mmu/vmmgp100.c, vmm.c)
  /// - Parameters:
  ///   - limit: bytes of the space; at most 2^49.
  ///   - managed: what ``allocateRange(bytes:alignment:)`` may give; the rest is the caller's.
  package init(
    _ mmu: MMU, _ name: String, limit: UInt64 = 1 << UInt64(NV_MMU_VER2.virtualAddressBits),
    managed: Range<GPUVirtualAddress>, isBAR: Bool = false, isReplayable: Bool = false
  ) throws(KernelError) {
    invariant(limit <= 1 << UInt64(NV_MMU_VER2.virtualAddressBits), "GPU space of \(limit) bytes")
    self.name = name
    self.mmu = mmu
    memory = mmu.memory
    kernel = mmu.device.kernel
    self.limit = limit
    self.isBAR = isBAR
    self.isReplayable = isReplayable
    lock = SleepingLock(kernel, .vmm)
    addresses = AddressRanges(managed)
    root = try Self.makeTable(.pd3, mmu)
    mmu.spaceCount += 1
  }

  /// MMU notifiers take the locks of GPU address spaces, so memory for a table may not be reclaimed
  /// under them: reclaim calls notifiers. Without a table the page has no translation for now.
  // QUIRK(nouveau): the kernel allocates with GFP_KERNEL under nouveau_svmm.mutex.
  static func makeTable(_ level: TableLevel, _ mmu: MMU) throws(KernelError) -> PageTable {
    mmu.device.kernel.mightAllocate(.atomic)
    try mmu.device.kernel.failures.check(.gpuPageTable)
    // The root's 32 bytes have a page of their own: its address is written in units of 4 KiB.
    return PageTable(level, try mmu.memory.allocate(bytes: level.byteCount))
  }

  /// Gives every table back. Nothing may use the space any more.
  ///
  /// Kernel: nvkm_vmm_dtor (nvkm/subdev/mmu/vmm.c)
  package func destroy() async {
    await lock.lock()
    var doomed: [PageTable] = []
    collect(root, &doomed)
    await invalidate()
    for table in doomed { memory.free(table.memory) }
    tableCount = 0
    mmu.spaceCount -= 1
    lock.unlock()
  }

  private func collect(_ table: PageTable, _ into: inout [PageTable]) {
    for child in table.children { collect(child.table, &into) }
    into.append(table)
  }

  /// Writes where the tables are into an instance block.
  ///
  /// Kernel: gp100_vmm_join, gf100_vmm_join_ (nvkm/subdev/mmu/vmmgp100.c, vmmgf100.c)
  package func join(_ instance: InstanceObject) {
    typealias R = NV_RAMIN
    let directory = root.memory.address.rawValue
    let replay: UInt32 = isReplayable ? 1 : 0
    instance.write32(
      UInt32(truncatingIfNeeded: directory) | R.PAGE_DIR_BASE_TARGET.make32(NV_TARGET.VID_MEM)
        | R.USE_VER2_PT_FORMAT.make32(1) | R.BIG_PAGE_SIZE.make32(1)
        | R.PAGE_DIR_BASE_FAULT_REPLAY_TEX.make32(replay)
        | R.PAGE_DIR_BASE_FAULT_REPLAY_GCC.make32(replay), R.PAGE_DIR_BASE_LO)
    instance.write32(UInt32(truncatingIfNeeded: directory >> 32), R.PAGE_DIR_BASE_HI)
    instance.write32(UInt32(truncatingIfNeeded: limit - 1), R.ADR_LIMIT_LO)
    instance.write32(UInt32(truncatingIfNeeded: (limit - 1) >> 32), R.ADR_LIMIT_HI)
  }

  // MARK: addresses

  /// A free range of addresses; `ENOSPC` when none is long enough.
  ///
  /// Kernel: nvkm_vmm_get_locked (nvkm/subdev/mmu/vmm.c)
  package func allocateRange(bytes: UInt64, alignment: UInt64 = UInt64(PageSize.bytes))
    throws(KernelError) -> GPUVirtualAddress
  {
    guard let start = addresses.allocate(bytes, alignment) else { throw .ENOSPC }
    return start
  }

  /// Kernel: nvkm_vmm_put_locked (nvkm/subdev/mmu/vmm.c)
  package func freeRange(_ address: GPUVirtualAddress, bytes: UInt64) {
    addresses.free(address, bytes)
  }

  // MARK: reading back

  /// The entry that translates `address`, for audits and expectations; a larger page's entry is
  /// given for the 4 KiB page inside it.
  package func entry(at address: GPUVirtualAddress) -> GPUPTE {
    guard let directory = directory(for: address) else { return .none }
    let slot = TableLevel.pd0.slot(address)
    if directory.isLive(slot) {
      return directory.read(slot).advanced(by: address.pageBase.rawValue & ((2 << 20) - 1))
    }
    if let large = directory.child(2 * slot) {
      let index = TableLevel.pt64K.slot(address)
      if large.isLive(index) {
        return large.read(index).advanced(by: address.pageBase.rawValue & ((64 << 10) - 1))
      }
    }
    return directory.child(2 * slot + 1)?.read(TableLevel.pt4K.slot(address)) ?? .none
  }

  /// The PD0 that covers `address`, if it exists.
  func directory(for address: GPUVirtualAddress) -> PageTable? {
    var table = root
    while let below = table.level.below {
      guard let next = table.child(table.level.slot(address)) else { return nil }
      table = next
      if below == .pd0 { break }
    }
    return table
  }

  /// Kernel: gp100_vmm_flush (nvkm/subdev/mmu/vmmgp100.c)
  func invalidate() async { await mmu.invalidate(root.memory.address, isBAR: isBAR) }
}
