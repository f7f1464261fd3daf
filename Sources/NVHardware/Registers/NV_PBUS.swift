public import Base

/// The bus unit: bus errors, the PRAMIN window, the binding of BAR1 and BAR2.
///
/// SOURCE: open-gpu-doc gv100 dev_bus; nouveau nvkm/subdev/bus/gf100.c, bar/{gf100,gm107}.c.
public enum NV_PBUS {
  public static let INTR_0: UInt32 = 0x1100
  public static let INTR_0_PRI_SQUASH = BitField(bit: 1)
  public static let INTR_0_PRI_FECSERR = BitField(bit: 2)
  public static let INTR_0_PRI_TIMEOUT = BitField(bit: 3)
  public static let INTR_EN_0: UInt32 = 0x1140
  public static let INTR_EN_1: UInt32 = 0x1144
  /// Plain storage for scripts, 32 words.
  public static func SW_SCRATCH(_ i: UInt32) -> UInt32 { 0x1580 + 4 * i }

  /// Selects the MiB that the PRAMIN window shows.
  public static let BAR0_WINDOW: UInt32 = 0x1700
  /// Physical address >> 16.
  public static let BAR0_WINDOW_BASE = BitField(23, 0)
  public static let BAR0_WINDOW_TARGET = BitField(25, 24)

  public static let BAR1_BLOCK: UInt32 = 0x1704
  public static let BAR2_BLOCK: UInt32 = 0x1714
  /// Instance block >> 12.
  public static let BAR_BLOCK_PTR = BitField(27, 0)
  public static let BAR_BLOCK_TARGET = BitField(29, 28)
  /// 1: accesses go through the instance block's page tables; 0: physical.
  public static let BAR_BLOCK_MODE_VIRTUAL = BitField(bit: 31)
  public static let BIND_STATUS: UInt32 = 0x1710
  public static let BIND_STATUS_BAR1_PENDING = BitField(bit: 0)
  public static let BIND_STATUS_BAR1_OUTSTANDING = BitField(bit: 1)
  public static let BIND_STATUS_BAR2_PENDING = BitField(bit: 2)
  public static let BIND_STATUS_BAR2_OUTSTANDING = BitField(bit: 3)
  public static let IFB_BLOCK: UInt32 = 0x1718

  public static let PRI_TIMEOUT: UInt32 = 0x9080
  public static let PRI_TIMEOUT_SAVE_0: UInt32 = 0x9084
  public static let PRI_TIMEOUT_SAVE_0_TO = BitField(bit: 0)
  public static let PRI_TIMEOUT_SAVE_0_WRITE = BitField(bit: 1)
  public static let PRI_TIMEOUT_SAVE_0_ADDR = BitField(23, 2)
  public static let PRI_TIMEOUT_SAVE_1: UInt32 = 0x9088
  public static let PRI_TIMEOUT_FECS_ERRCODE: UInt32 = 0x908c

  /// What a read of an address that no unit answers returns; the RM tests the upper 12 bits.
  public static let PRI_ERROR: UInt32 = 0xbad0_0000
  public static let PRI_ERROR_MASK: UInt32 = 0xfff0_0000
}

/// The 1 MiB window of BAR0 onto memory.
public enum NV_PRAMIN {
  public static let base: UInt32 = 0x70_0000
  public static let byteCount: UInt32 = 0x10_0000
}

/// Flushes writes through BAR1 and BAR2 (nouveau `g84_bar_flush`): write 1, poll bit 1 clear.
public enum NV_UFLUSH {
  public static let FB_FLUSH: UInt32 = 0x07_0000
  public static let FB_FLUSH_PENDING = BitField(bit: 0)
  public static let FB_FLUSH_OUTSTANDING = BitField(bit: 1)
}

/// Where memory lies, as instance block pointers, runlists, page directories and windows encode it.
public enum NV_TARGET {
  public static let VID_MEM: UInt32 = 0
  public static let SYS_MEM_COHERENT: UInt32 = 2
  public static let SYS_MEM_NONCOHERENT: UInt32 = 3
}
