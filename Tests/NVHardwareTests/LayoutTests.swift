import Base
import NVHardware
import Testing

// Each expectation is a figure of a manual or of another driver's source, written out, so that a
// mistake shared by driver and device is caught.

@Suite struct RegisterLayoutTests {
  @Test func boot0_givesTheChipset() {
    // GP100 A1 and TU104 A1, as the boards report them.
    #expect(NV_PMC.BOOT_0_CHIP_ID.get(UInt32(0x1300_00a1)) == 0x130)
    #expect(NV_PMC.BOOT_0_CHIP_ID.get(UInt32(0x1640_00a1)) == 0x164)
    #expect(NV_PMC.BOOT_0_ARCHITECTURE.get(UInt32(0x1300_00a1)) == 0x13)
    #expect(NV_PMC.BOOT_0_MAJOR_REVISION.get(UInt32(0x1300_00a1)) == 0xa)
    #expect(NV_PMC.BOOT_0_MINOR_REVISION.get(UInt32(0x1300_00a1)) == 1)
  }

  @Test func indexedRegisters_lieWhereTheManualsSay() {
    #expect(NV_PMC.INTR(1) == 0x104)
    #expect(NV_PMC.INTR_EN_SET(0) == 0x160)
    #expect(NV_PMC.INTR_EN_CLEAR(1) == 0x184)
    #expect(NV_PFIFO.ENG_RUNLIST(1) == 0x228c)
    #expect(NV_PFIFO.ENGINE_STATUS(2) == 0x2650)
    #expect(NV_PFIFO.PBDMA_STATUS(1) == 0x3084)
    #expect(NV_PFIFO.INTR_MMU_FAULT_INFO(21) == 0x295c)
    #expect(NV_PCCSR.CHANNEL_INST(5) == 0x80_0028)
    #expect(NV_PCCSR.CHANNEL(5) == 0x80_002c)
    #expect(NV_PPBDMA.base(1) + NV_PPBDMA.INTR_0 == 0x04_2108)
    #expect(NV_CE.LCE_LAUNCHERR(0) == 0x10_4418)
    #expect(NV_CE.LCE_INTR_STATUS(5) == 0x10_4690)
    #expect(NV_PFB_TOPOLOGY.FBPA_SIZE(3) == 0x90_c20c)
    #expect(NV_PTOP.DEVICE_INFO(63) == 0x02_27fc)
  }

  @Test func topologyEntry_isTheWorkedExample() {
    let entry = TopologyEntry(
      type: NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE, instance: 0, priBase: 0x10_4000, faultID: 21,
      engine: 1, runlist: 1, interrupt: 5, reset: 6)
    let data: UInt32 = 0x8000_0000 | 0x10_4000 | (21 << 3) | 0x5
    let enumeration: UInt32 =
      0x8000_0000 | (1 << 26) | 0x20 | (1 << 21) | 0x10 | (5 << 15) | 0x8 | (6 << 9) | 0x4 | 0x2
    #expect(entry.words == [data, enumeration, (0x13 << 2) | 3])
  }

  @Test func invalidate_isNouveausFigures() {
    // vmmgf100: 0x80000000 | ALL_VA | HUBTLB_ONLY for a BAR; gp100 replay 0x0b; cancel 0x1b.
    typealias P = NV_PFB
    let bar =
      P.PRI_MMU_INVALIDATE_TRIGGER.make32(1) | P.PRI_MMU_INVALIDATE_ALL_VA.make32(1)
      | P.PRI_MMU_INVALIDATE_HUBTLB_ONLY.make32(1)
    #expect(bar == 0x8000_0005)
    let replay =
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1) | P.PRI_MMU_INVALIDATE_ALL_PDB.make32(1)
      | P.PRI_MMU_INVALIDATE_REPLAY.make32(MMUReplay.START.rawValue)
    #expect(replay == 0x0b)
    let cancel =
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1) | P.PRI_MMU_INVALIDATE_ALL_PDB.make32(1)
      | P.PRI_MMU_INVALIDATE_REPLAY.make32(MMUReplay.CANCEL_TARGETED.rawValue)
      | P.PRI_MMU_INVALIDATE_CANCEL_CLIENT_TYPE.make32(1)
      | P.PRI_MMU_INVALIDATE_CANCEL_GPC_ID.make32(3)
      | P.PRI_MMU_INVALIDATE_CANCEL_CLIENT_ID.make32(0x12)
    #expect(cancel == 0x1b | 1 << 20 | 3 << 15 | 0x12 << 9)
  }

  @Test func channelControl_isNouveausFigures() {
    #expect(NV_PCCSR.CHANNEL_ENABLE_SET.make32(1) == 0x400)
    #expect(NV_PCCSR.CHANNEL_ENABLE_CLR.make32(1) == 0x800)
    #expect(NV_PCCSR.CHANNEL_INST_BIND.make32(1) == 0x8000_0000)
    #expect(
      NV_PFIFO.PREEMPT_TYPE.make32(NV_PFIFO.PREEMPT_TYPE_TSG) | NV_PFIFO.PREEMPT_ID.make32(7)
        == 0x0100_0007)
    #expect(NV_PFIFO.BAR1_BASE_VALID.make32(1) == 0x1000_0000)
    let nop =
      NV_PPBDMA.METHOD0_VALID.make32(1) | NV_PPBDMA.METHOD0_FIRST.make32(1) | 1 << 21
      | NV_PPBDMA.METHOD0_ADDR.make32(ClassC06F.NOP >> 2)
    #expect(nop == NV_PPBDMA.METHOD0_NOP)
  }
}

@Suite struct ChannelLayoutTests {
  @Test func header_isTheWorkedExample() {
    // INC, subchannel 4, method 0x400, count 4.
    let header = MethodHeader.incrementing(4, 0x400, count: 4)
    #expect(header.word == 0x2004_8100)
    #expect(header.operation == MethodHeader.DMA_SEC_OP_INC_METHOD)
    #expect(header.subchannel == 4)
    #expect(header.method == 0x400)
    #expect(header.count == 4)
    // nouveau's fence: five words to 0x10 of subchannel 0.
    #expect(MethodHeader.incrementing(0, ClassC06F.SEMAPHOREA, count: 5).word == 0x2005_0004)
    #expect(MethodHeader.incrementing(0, ClassC06F.SEMAPHOREA, count: 4).word == 0x2004_0004)
  }

  @Test func headerFields_agreeWithTheAccessors() {
    let header = MethodHeader.immediate(5, 0x3ffc, 0x1abc)
    #expect(MethodHeader.DMA_SEC_OP.get(header.word) == MethodHeader.DMA_SEC_OP_IMMD_DATA_METHOD)
    #expect(MethodHeader.DMA_METHOD_SUBCHANNEL.get(header.word) == 5)
    #expect(MethodHeader.DMA_METHOD_ADDRESS.get(header.word) << 2 == header.method)
    #expect(MethodHeader.DMA_IMMD_DATA.get(header.word) == 0x1abc)
    let old = MethodHeader(word: 0x0010_8100)
    #expect(old.oldMethod == 0x100)
    #expect(old.oldCount == 4)
    #expect(old.subchannel == 4)
    #expect(MethodHeader.DMA_METHOD_COUNT_OLD.get(old.word) == 4)
  }

  @Test func gpfifoEntry_isNouveausEncoding() {
    // nv50_dma_push: word 0 = low address, word 1 = high | bytes << 8 | no-prefetch << 31.
    let address = GPUVirtualAddress(0x12_3456_7890)
    let entry = GPFIFOEntry(segment: address, dwords: 6, wait: true)
    #expect(entry.word0 == 0x3456_7890)
    #expect(entry.word1 == 0x12 | 24 << 8 | 1 << 31)
    #expect(entry.address == address.rawValue)
    #expect(entry.dwords == 6)
    #expect(GPFIFOEntry.GP_ENTRY1_LENGTH.get(entry.word1) == 6)
    // tinygrad: address | dwords << 42 | LEVEL at bit 41 of the 64-bit entry.
    let subroutine = GPFIFOEntry(segment: address, dwords: 6, subroutine: true)
    let quad = UInt64(subroutine.word1) << 32 | UInt64(subroutine.word0)
    #expect(quad == address.rawValue | 6 << 42 | 1 << 41)
  }

  @Test func runlistEntries_areNouveaus() {
    let group = NV_RAMRL.group(tsgid: 9, channels: 2)
    #expect(group.0 == 2 << 26 | 128 << 18 | 3 << 14 | 0x2000 | 9)
    #expect(group.1 == 0)
    let channel = NV_RAMRL.channel(chid: 5, instance: 0x1234_5000)
    #expect(channel.0 == 5)
    #expect(channel.1 == 0x1_2345)
  }

  @Test func semaphoreMethods_areNouveaus() {
    // nvc0_fence: D = 0x2 releases 16 bytes after WFI; 0x1004 acquires >= with switch.
    typealias C = ClassC06F
    let release =
      C.SEMAPHORED_OPERATION.make32(C.SEMAPHORED_OPERATION_RELEASE)
      | C.SEMAPHORED_RELEASE_WFI.make32(C.SEMAPHORED_RELEASE_WFI_EN)
      | C.SEMAPHORED_RELEASE_SIZE.make32(C.SEMAPHORED_RELEASE_SIZE_16BYTE)
    #expect(release == 2)
    let acquire =
      C.SEMAPHORED_OPERATION.make32(C.SEMAPHORED_OPERATION_ACQ_GEQ)
      | C.SEMAPHORED_ACQUIRE_SWITCH.make32(1)
    #expect(acquire == 0x1004)
  }

  @Test func launchDMA_isNouveausCopy() {
    // nve0_bo_move_copy: 0x386 = FLUSH, NON_PIPELINED, both pitch, MULTI_LINE.
    typealias C = ClassC0B5
    let launch =
      C.LAUNCH_DMA_DATA_TRANSFER_TYPE.make32(C.LAUNCH_DMA_DATA_TRANSFER_TYPE_NON_PIPELINED)
      | C.LAUNCH_DMA_FLUSH_ENABLE.make32(1)
      | C.LAUNCH_DMA_SRC_MEMORY_LAYOUT.make32(C.LAUNCH_DMA_MEMORY_LAYOUT_PITCH)
      | C.LAUNCH_DMA_DST_MEMORY_LAYOUT.make32(C.LAUNCH_DMA_MEMORY_LAYOUT_PITCH)
      | C.LAUNCH_DMA_MULTI_LINE_ENABLE.make32(1)
    #expect(launch == 0x386)
    #expect(C.LAUNCH_DMA_SRC_TYPE.make32(1) | C.LAUNCH_DMA_DST_TYPE.make32(1) == 0x3000)
  }
}

@Suite struct MMULayoutTests {
  @Test func levels_tileTheAddress() {
    typealias M = NV_MMU_VER2
    let levels = [M.PD3_INDEX, M.PD2_INDEX, M.PD1_INDEX, M.PD0_INDEX, M.PT4K_INDEX]
    #expect(levels[0].high == M.virtualAddressBits - 1)
    for (upper, lower) in zip(levels, levels.dropFirst()) { #expect(upper.low == lower.high + 1) }
    #expect(M.PT4K_INDEX.low == 12)
    #expect(M.PT64K_INDEX.low == 16 && M.PT64K_INDEX.high == M.PT4K_INDEX.high)
  }

  @Test func entries_holdTheAddressShiftedByFour() {
    typealias M = NV_MMU_VER2
    #expect(M.pte(aperture: 0, address: 0x1234_5000) == 0x0123_4501)
    #expect(
      M.pte(aperture: M.PTE_APERTURE_SYSTEM_COHERENT_MEMORY, address: 0x1000, volatile: true)
        == 0x10d)
    #expect(M.pte(aperture: 0, address: 0, readOnly: true, atomicDisable: true) == 0xc1)
    #expect(M.pde(aperture: M.PDE_APERTURE_VIDEO_MEMORY, address: 0x20_0000) == 0x2_0002)
    #expect(M.PDE_ADDRESS_VID.get(UInt64(0x2_0002)) == 0x200)
    #expect(M.PTE_SPARSE == M.PTE_VOL.mask)
    #expect(M.PTE_INVALID_HIDES_SMALL == M.PTE_PRIVILEGE.mask)
  }

  @Test func faultPacket_matchesTheRegisterReport() {
    typealias B = NVB069_FAULT_BUF_ENTRY
    #expect(B.byteCount == 32)
    #expect(B.VALID.mask == 0x8000_0000)
    #expect(B.CLIENT == NV_PFIFO.INTR_MMU_FAULT_INFO_CLIENT)
    #expect(B.ACCESS_TYPE == NV_PFIFO.INTR_MMU_FAULT_INFO_ACCESS)
    #expect(B.GPC_ID == NV_PFIFO.INTR_MMU_FAULT_INFO_GPC_ID)
    #expect(NV_PFAULT.FaultType.ATOMIC_VIOLATION.rawValue == 15)
  }
}
