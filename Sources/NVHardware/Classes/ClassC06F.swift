public import Base

/// Pascal's channel class, PASCAL_CHANNEL_GPFIFO_A: methods that the host itself executes.
///
/// SOURCE: open-gpu-doc classes/host/clc06f.h.
public enum ClassC06F {
  public static let classID: UInt32 = 0xc06f
  /// Methods below this address are the host's on every subchannel.
  public static let hostMethodEnd: UInt32 = 0x100

  public static let SET_OBJECT: UInt32 = 0x00
  public static let SET_OBJECT_NVCLASS = BitField(15, 0)
  public static let SET_OBJECT_ENGINE = BitField(20, 16)
  public static let ILLEGAL: UInt32 = 0x04
  public static let NOP: UInt32 = 0x08

  public static let SEMAPHOREA: UInt32 = 0x10
  public static let SEMAPHOREA_OFFSET_UPPER = BitField(7, 0)
  public static let SEMAPHOREB: UInt32 = 0x14
  public static let SEMAPHOREB_OFFSET_LOWER = BitField(31, 2)
  public static let SEMAPHOREC: UInt32 = 0x18
  public static let SEMAPHORED: UInt32 = 0x1c
  public static let SEMAPHORED_OPERATION = BitField(4, 0)
  public static let SEMAPHORED_OPERATION_ACQUIRE: UInt32 = 1
  public static let SEMAPHORED_OPERATION_RELEASE: UInt32 = 2
  public static let SEMAPHORED_OPERATION_ACQ_GEQ: UInt32 = 4
  public static let SEMAPHORED_OPERATION_ACQ_AND: UInt32 = 8
  public static let SEMAPHORED_OPERATION_REDUCTION: UInt32 = 0x10
  public static let SEMAPHORED_ACQUIRE_SWITCH = BitField(bit: 12)
  /// 0: the release waits until the channel's engine is idle; 1: it doesn't.
  public static let SEMAPHORED_RELEASE_WFI = BitField(bit: 20)
  public static let SEMAPHORED_RELEASE_WFI_EN: UInt32 = 0
  public static let SEMAPHORED_RELEASE_WFI_DIS: UInt32 = 1
  /// 0: 16 bytes with a time stamp; 1: 4 bytes.
  public static let SEMAPHORED_RELEASE_SIZE = BitField(bit: 24)
  public static let SEMAPHORED_RELEASE_SIZE_16BYTE: UInt32 = 0
  public static let SEMAPHORED_RELEASE_SIZE_4BYTE: UInt32 = 1
  public static let SEMAPHORED_REDUCTION = BitField(30, 27)
  /// 0 signed, 1 unsigned.
  public static let SEMAPHORED_FORMAT = BitField(bit: 31)

  public static let NON_STALL_INTERRUPT: UInt32 = 0x20
  public static let FB_FLUSH: UInt32 = 0x24
  public static let MEM_OP_A: UInt32 = 0x28
  public static let MEM_OP_A_TLB_INVALIDATE_CANCEL_TARGET_CLIENT_UNIT_ID = BitField(5, 0)
  public static let MEM_OP_A_TLB_INVALIDATE_CANCEL_TARGET_GPC_ID = BitField(10, 6)
  public static let MEM_OP_A_TLB_INVALIDATE_SYSMEMBAR = BitField(bit: 11)
  public static let MEM_OP_A_TLB_INVALIDATE_TARGET_ADDR_LO = BitField(31, 12)
  public static let MEM_OP_B: UInt32 = 0x2c
  public static let MEM_OP_C: UInt32 = 0x30
  public static let MEM_OP_C_MEMBAR_TYPE = BitField(2, 0)
  /// 0 one page directory, 1 all.
  public static let MEM_OP_C_TLB_INVALIDATE_PDB = BitField(bit: 0)
  public static let MEM_OP_C_TLB_INVALIDATE_GPC = BitField(bit: 1)
  public static let MEM_OP_C_TLB_INVALIDATE_REPLAY = BitField(4, 2)
  public static let MEM_OP_C_TLB_INVALIDATE_ACK_TYPE = BitField(6, 5)
  public static let MEM_OP_C_TLB_INVALIDATE_PAGE_TABLE_LEVEL = BitField(9, 7)
  public static let MEM_OP_C_TLB_INVALIDATE_PDB_APERTURE = BitField(11, 10)
  public static let MEM_OP_C_TLB_INVALIDATE_PDB_ADDR_LO = BitField(31, 12)
  public static let MEM_OP_D: UInt32 = 0x34
  public static let MEM_OP_D_TLB_INVALIDATE_PDB_ADDR_HI = BitField(26, 0)
  public static let MEM_OP_D_OPERATION = BitField(31, 27)
  public static let MEM_OP_D_OPERATION_MEMBAR: UInt32 = 0x05
  public static let MEM_OP_D_OPERATION_MMU_TLB_INVALIDATE: UInt32 = 0x09
  public static let MEM_OP_D_OPERATION_MMU_TLB_INVALIDATE_TARGETED: UInt32 = 0x0a
  public static let MEM_OP_D_OPERATION_L2_PEERMEM_INVALIDATE: UInt32 = 0x0d
  public static let MEM_OP_D_OPERATION_L2_SYSMEM_INVALIDATE: UInt32 = 0x0e
  public static let MEM_OP_D_OPERATION_L2_CLEAN_COMPTAGS: UInt32 = 0x0f
  public static let MEM_OP_D_OPERATION_L2_FLUSH_DIRTY: UInt32 = 0x10

  public static let SET_REFERENCE: UInt32 = 0x50
  public static let SYNCPOINTA: UInt32 = 0x70
  public static let SYNCPOINTB: UInt32 = 0x74
  public static let WFI: UInt32 = 0x78
  public static let CRC_CHECK: UInt32 = 0x7c
  public static let YIELD: UInt32 = 0x80
  public static let YIELD_OP = BitField(1, 0)
}

/// What a reduction does to the word in memory; the host and the copy engine number it alike.
///
/// SOURCE: clc06f.h (SEMAPHORED_REDUCTION), clc0b5.h (LAUNCH_DMA_SEMAPHORE_REDUCTION).
public enum SemaphoreReduction: UInt32, Sendable {
  case MIN = 0
  case MAX = 1
  case XOR = 2
  case AND = 3
  case OR = 4
  case ADD = 5
  case INC = 6
  case DEC = 7
}
