public import Base

/// Frame buffer partitions: what a driver adds up to learn the size of VRAM.
///
/// SOURCE: nouveau nvkm/subdev/fb/{ramgf100,ramgm107,ramgm200,ramgp100}.c; gp100-fbpa.txt.
public enum NV_PFB_TOPOLOGY {
  /// Number of frame buffer partitions (FBP).
  public static let NUM_FBPS: UInt32 = 0x022438
  public static let NUM_FBPS_VALUE = BitField(4, 0)
  public static let NUM_FBPAS: UInt32 = 0x02243c
  public static let NUM_LTCS: UInt32 = 0x022454
  public static let LTCS_PER_FBP: UInt32 = 0x022450
  public static let FBPAS_PER_FBP: UInt32 = 0x022458
  public static let SLICES_PER_LTC: UInt32 = 0x02245c
  /// One bit a disabled FBP.
  public static let FBP_DISABLE: UInt32 = 0x021d38
  /// One bit a disabled LTC of the FBP.
  public static func LTC_DISABLE(_ fbp: UInt32) -> UInt32 { 0x021d70 + 4 * fbp }
  /// One bit a disabled FBPA.
  public static let FBPA_DISABLE: UInt32 = 0x021c14
  /// The size of the memory behind an FBPA in MiB (GP100).
  public static func FBPA_SIZE(_ fbpa: UInt32) -> UInt32 { 0x90_020c + 0x4000 * fbpa }
  public static let FBPA_SIZE_MIB = BitField(31, 0)
  /// Bytes of one MiB of ``FBPA_SIZE(_:)``.
  public static let FBPA_SIZE_UNIT: UInt64 = 1 << 20
}

/// Level 2 cache.
///
/// SOURCE: nouveau nvkm/subdev/ltc/{gm107,gm200,gp100}.c.
public enum NV_PLTCG {
  public static let NUM_LTCS: UInt32 = 0x12_006c
  public static let CBC_PARAM: UInt32 = 0x17_e280
  public static let CBC_PARAM_SLICES_PER_LTC = BitField(31, 28)
  public static let CBC_CTRL1: UInt32 = 0x17_e26c
  public static let CBC_CTRL1_CLEAR = BitField(bit: 2)
  public static let CBC_CTRL2_CLEAR_START: UInt32 = 0x17_e270
  public static let CBC_CTRL3_CLEAR_LIMIT: UInt32 = 0x17_e274
  public static let CBC_BASE: UInt32 = 0x17_e278
  public static let CBC_NUM_ACTIVE_LTCS: UInt32 = 0x17_e27c
}

/// The memory hub: flush page and MMU control.
///
/// SOURCE: open-gpu-doc gv100 dev_mmu, pri_mmu_hub; nouveau nvkm/subdev/fb/gp100.c, mmu/vmmgf100.c.
public enum NV_PFB {
  /// Bit 4: partitions of different sizes (GM107 and later).
  public static let CFG0: UInt32 = 0x10_0800
  /// The system memory page that flushes go to, address >> 8.
  public static let NISO_FLUSH_SYSMEM_ADDR: UInt32 = 0x10_0c10
  public static let HSHUB_REMAP: UInt32 = 0x10_0c14
  public static let HSHUB_REMAP_ENABLE = BitField(bit: 18)

  public static let PRI_MMU_CTRL: UInt32 = 0x10_0c80
  public static let PRI_MMU_CTRL_VOL_FAULT = BitField(bit: 1)
  public static let PRI_MMU_CTRL_COMP_FAULT = BitField(bit: 2)
  public static let PRI_MMU_CTRL_USE_PDB_BIG_PAGE_SIZE = BitField(bit: 11)
  public static let PRI_MMU_CTRL_PRI_FIFO_ERROR = BitField(bit: 14)
  /// 1: no invalidation is queued.
  public static let PRI_MMU_CTRL_PRI_FIFO_EMPTY = BitField(bit: 15)
  /// Free places of the invalidation queue; 32 after reset.
  public static let PRI_MMU_CTRL_PRI_FIFO_SPACE = BitField(23, 16)
  public static let PRI_MMU_CTRL_PRI_FIFO_SPACE_INIT: UInt32 = 32

  public static let PRI_MMU_INVALIDATE_PDB: UInt32 = 0x10_0cb8
  public static let PRI_MMU_INVALIDATE_PDB_APERTURE = BitField(1, 0)
  /// pdb[39:12].
  public static let PRI_MMU_INVALIDATE_PDB_ADDR = BitField(31, 4)
  public static let PRI_MMU_INVALIDATE_UPPER_PDB: UInt32 = 0x10_0cec
  /// pdb[59:40].
  public static let PRI_MMU_INVALIDATE_UPPER_PDB_ADDR = BitField(19, 0)
  public static let PRI_MMU_INVALIDATE_VADDR: UInt32 = 0x10_0cb4
  public static let PRI_MMU_INVALIDATE_VADDR_BITS = BitField(31, 4)
  public static let PRI_MMU_INVALIDATE_UPPER_VADDR: UInt32 = 0x10_0ce8
  public static let PRI_MMU_INVALIDATE_UPPER_VADDR_BITS = BitField(19, 0)

  public static let PRI_MMU_INVALIDATE: UInt32 = 0x10_0cbc
  public static let PRI_MMU_INVALIDATE_ALL_VA = BitField(bit: 0)
  public static let PRI_MMU_INVALIDATE_ALL_PDB = BitField(bit: 1)
  public static let PRI_MMU_INVALIDATE_HUBTLB_ONLY = BitField(bit: 2)
  public static let PRI_MMU_INVALIDATE_REPLAY = BitField(5, 3)
  public static let PRI_MMU_INVALIDATE_SYS_MEMBAR = BitField(bit: 6)
  public static let PRI_MMU_INVALIDATE_ACK = BitField(8, 7)
  public static let PRI_MMU_INVALIDATE_CANCEL_CLIENT_ID = BitField(14, 9)
  public static let PRI_MMU_INVALIDATE_CANCEL_GPC_ID = BitField(19, 15)
  /// 1: the client is the hub's.
  public static let PRI_MMU_INVALIDATE_CANCEL_CLIENT_TYPE = BitField(bit: 20)
  /// 0 all levels, 1 PTE only, 2… up to PDE0….
  public static let PRI_MMU_INVALIDATE_CACHE_LEVEL = BitField(26, 24)
  public static let PRI_MMU_INVALIDATE_TRIGGER = BitField(bit: 31)

  public static let PRI_MMU_DEBUG_WR: UInt32 = 0x10_0cc8
  public static let PRI_MMU_DEBUG_RD: UInt32 = 0x10_0ccc
  public static let PRI_MMU_PAGE_FAULT_CTRL: UInt32 = 0x10_0cf8
  public static let PRI_MMU_BIND_IMB: UInt32 = 0x10_0cac
  public static let PRI_MMU_BIND: UInt32 = 0x10_0cb0
  public static let PRI_MMU_PHYS_SECURE: UInt32 = 0x10_0cc4
  /// GP100: the GPCs' copies of 0x100c80, 0x100cc4, 0x100cc8 and 0x100ccc.
  public static let GPC_MMU_CTRL: UInt32 = 0x1f_ac80
  public static let GPC_MMU_PHYS_SECURE: UInt32 = 0x1f_acc4
  public static let GPC_MMU_DEBUG_WR: UInt32 = 0x1f_acc8
  public static let GPC_MMU_DEBUG_RD: UInt32 = 0x1f_accc
}

/// What an invalidation does with parked faults (`REPLAY` of the register and of `MEM_OP_C`).
public enum MMUReplay: UInt32, Sendable {
  case NONE = 0
  case START = 1
  case START_ACK_ALL = 2
  case CANCEL_TARGETED = 3
  case CANCEL_GLOBAL = 4
}
