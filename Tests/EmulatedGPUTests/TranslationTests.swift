import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

@Suite struct TranslationTests {
  private static let va: UInt64 = 0x12_3400_0000

  /// A copy of 256 bytes from `address`; its fault's type, or nil and the bytes.
  private func read(_ rig: Rig, _ channel: RigChannel, _ address: UInt64) throws
    -> (NV_PFAULT.FaultType?, [UInt8])
  {
    channel.copy(address, Rig.data, 256, 0x182)
    try channel.kick()
    return (fault(rig), rig.bytes(Rig.data, 256))
  }

  private func write(_ rig: Rig, _ channel: RigChannel, _ address: UInt64) throws
    -> NV_PFAULT.FaultType?
  {
    channel.copy(Rig.data, address, 256, 0x182)
    try channel.kick()
    return fault(rig)
  }

  private func fault(_ rig: Rig) -> NV_PFAULT.FaultType? {
    guard rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) & 1 << 21 != 0 else { return nil }
    return NV_PFAULT.FaultType(
      rawValue: NV_PFIFO.INTR_MMU_FAULT_INFO_TYPE.get(
        rig.read(NV_PFIFO.INTR_MMU_FAULT_INFO(21))))
  }

  @Test(arguments: [12, 16, 21])
  func everyPageSize_translates(_ shift: Int) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let page = UInt64(0x160_0000)
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: page), shift: shift)
    let last = UInt64(1) << UInt64(shift) - 256
    let bytes = rig.fill(page + last, 256, seed: 1)
    #expect(try read(rig, channel, Self.va + last) == (nil, bytes))
    // The next page is not mapped.
    #expect(try read(rig, channel, Self.va + last + 256).0 == (shift == 21 ? .PDE : .PTE))
  }

  @Test func bigPage_goesBeforeSmallOnes() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000), shift: 16)
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x170_0000))
    let bytes = rig.fill(0x160_0000, 256, seed: 2)
    #expect(try read(rig, channel, Self.va) == (nil, bytes))
  }

  @Test func emptyBigEntry_letsSmallPagesThrough_andAHidingOneDoesNot() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, 0, shift: 16)
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x170_0000))
    let bytes = rig.fill(0x170_0000, 256, seed: 3)
    #expect(try read(rig, channel, Self.va) == (nil, bytes))
    rig.tables.map(Self.va, NV_MMU_VER2.PTE_INVALID_HIDES_SMALL, shift: 16)
    flush(rig)
    #expect(try read(rig, channel, Self.va).0 == .PTE)
  }

  @Test(arguments: [12, 16])
  func sparsePage_readsZeroAndDropsWrites(_ shift: Int) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, NV_MMU_VER2.PTE_SPARSE, shift: shift)
    _ = rig.fill(Rig.data, 256, seed: 4)
    #expect(try write(rig, channel, Self.va) == nil)
    #expect(try read(rig, channel, Self.va) == (nil, [UInt8](repeating: 0, count: 256)))
  }

  @Test func sparseDirectories_readZero() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.set(rig.tables.pd0(Self.va), NV_MMU_VER2.PDE_SPARSE)
    _ = rig.fill(Rig.data, 256, seed: 5)
    #expect(try read(rig, channel, Self.va) == (nil, [UInt8](repeating: 0, count: 256)))
    rig.tables.set(rig.tables.root + 8, NV_MMU_VER2.PDE_SPARSE)
    _ = rig.fill(Rig.data, 256, seed: 5)
    #expect(
      try read(rig, channel, 1 << 47) == (nil, [UInt8](repeating: 0, count: 256)))
  }

  struct BadEntry: Sendable, CustomStringConvertible {
    let description: String
    let entry: UInt64
    let type: NV_PFAULT.FaultType
    var isEvent = false
  }

  @Test(arguments: [
    BadEntry(description: "invalid", entry: 0, type: .PTE),
    BadEntry(
      description: "kind 0xff", entry: NV_MMU_VER2.pte(aperture: 0, address: 0, kind: 0xff),
      type: .UNSUPPORTED_KIND),
    BadEntry(
      description: "generic kind", entry: NV_MMU_VER2.pte(aperture: 0, address: 0, kind: 0xfe),
      type: .UNSUPPORTED_KIND, isEvent: true),
    BadEntry(
      description: "peer", entry: NV_MMU_VER2.pte(aperture: 1, address: 0),
      type: .UNSUPPORTED_APERTURE, isEvent: true),
    BadEntry(
      description: "encrypted", entry: NV_MMU_VER2.pte(aperture: 0, address: 0) | 1 << 4,
      type: .UNSUPPORTED_APERTURE, isEvent: true),
  ])
  func badEntry_faultsWithItsType(_ bad: BadEntry) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, bad.entry)
    #expect(try read(rig, channel, Self.va).0 == bad.type, "\(bad)")
    #expect(rig.gpu.unimplemented.isEmpty == !bad.isEvent, "\(bad)")
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_LO(21)) == UInt32(truncatingIfNeeded: Self.va))
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_HI(21)) == 0x12)
  }

  @Test func addressBeyondTheLimit_faults() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    #expect(try read(rig, channel, 1 << 48).0 == .PDE)
    rig.tables.bind(instance: channel.instance, limit: Self.va)
    let other = try Rig()
    let bounded = try other.channel()
    other.tables.bind(instance: bounded.instance, limit: 0xff_ffff)
    try other.list([bounded])
    bounded.push(4, 0, [ClassC0B5.classID])
    #expect(try read(other, bounded, 0x100_0000).0 == .VA_LIMIT_VIOLATION)
  }

  @Test func readOnlyPage_refusesWrites() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000, readOnly: true))
    #expect(try read(rig, channel, Self.va).0 == nil)
    #expect(try write(rig, channel, Self.va) == .RO_VIOLATION)
    let info = rig.read(NV_PFIFO.INTR_MMU_FAULT_INFO(21))
    #expect(NV_PFIFO.INTR_MMU_FAULT_INFO_ACCESS.get(info) == NV_PFAULT.AccessType.WRITE.rawValue)
    #expect(NV_PFIFO.INTR_MMU_FAULT_INFO_CLIENT.get(info) == NV_PFAULT.CLIENT_HUB_CE0)
    #expect(NV_PFIFO.INTR_MMU_FAULT_INFO_CLIENT_TYPE_HUB.get(info) == 1)
  }

  /// nouveau's flush of one page directory.
  private func flush(_ rig: Rig, root: UInt64? = nil, all: Bool = false) {
    rig.write(NV_PFB.PRI_MMU_INVALIDATE_PDB, UInt32((root ?? rig.tables.root) >> 12) << 4)
    rig.write(NV_PFB.PRI_MMU_INVALIDATE_UPPER_PDB, 0)
    rig.write(NV_PFB.PRI_MMU_INVALIDATE, all ? 0x8000_0003 : 0x8000_0001)
    #expect(NV_PFB.PRI_MMU_CTRL_PRI_FIFO_EMPTY.get(rig.read(NV_PFB.PRI_MMU_CTRL)) == 1)
    #expect(NV_PFB.PRI_MMU_CTRL_PRI_FIFO_SPACE.get(rig.read(NV_PFB.PRI_MMU_CTRL)) == 32)
  }

  enum Flush: CaseIterable, Sendable {
    case none, otherDirectory, ours, all, page, otherPage, method
  }

  @Test(arguments: Flush.allCases)
  func staleTranslation_staysUntilItIsInvalidated(_ kind: Flush) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
    let old = rig.fill(0x160_0000, 256, seed: 6)
    let new = rig.fill(0x170_0000, 256, seed: 7)
    #expect(try read(rig, channel, Self.va) == (nil, old))
    rig.tables.map(Self.va, NV_MMU_VER2.pte(aperture: 0, address: 0x170_0000))
    var isFlushed = true
    switch kind {
    case .none: isFlushed = false
    case .otherDirectory:
      flush(rig, root: 0x99_0000)
      isFlushed = false
    case .ours: flush(rig)
    case .all: flush(rig, root: 0, all: true)
    case .page, .otherPage:
      let page = kind == .page ? Self.va : Self.va + 4096
      rig.write(NV_PFB.PRI_MMU_INVALIDATE_PDB, UInt32(rig.tables.root >> 12) << 4)
      rig.write(
        NV_PFB.PRI_MMU_INVALIDATE_VADDR, UInt32(truncatingIfNeeded: page >> 12) << 4)
      rig.write(NV_PFB.PRI_MMU_INVALIDATE_UPPER_VADDR, UInt32(page >> 40))
      rig.write(NV_PFB.PRI_MMU_INVALIDATE, 0x8000_0000)
      isFlushed = kind == .page
    case .method:
      channel.push(
        0, ClassC06F.MEM_OP_A, [0, 0, UInt32(rig.tables.root), 9 << 27])
      try channel.kick()
    }
    #expect(try read(rig, channel, Self.va) == (nil, isFlushed ? new : old), "\(kind)")
    #expect(rig.gpu.audit().isEmpty)
  }

  @Test func memOp_needsAnAuthorizedChannel() throws {
    let rig = try Rig()
    let channel = try rig.channel(authorized: false)
    try rig.list([channel])
    channel.push(0, ClassC06F.MEM_OP_A, [0, 0, 1, 5 << 27])
    try channel.kick()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 0, "a membar is anybody's")
    channel.push(0, ClassC06F.MEM_OP_A, [0, 0, 1, 9 << 27])
    try channel.kick()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 1 << 21)
  }
}
