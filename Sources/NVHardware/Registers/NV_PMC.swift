public import Base

/// Master control: identity, interrupt tree root, unit enables.
///
/// SOURCE: open-gpu-doc gv100 dev_master; pascal/gp100-msi-intr.txt; RM dev_boot.h (gp100).
public enum NV_PMC {
  public static let BOOT_0: UInt32 = 0x000
  public static let BOOT_0_MINOR_REVISION = BitField(3, 0)
  public static let BOOT_0_MAJOR_REVISION = BitField(7, 4)
  public static let BOOT_0_IMPLEMENTATION = BitField(23, 20)
  public static let BOOT_0_ARCHITECTURE = BitField(28, 24)
  /// Architecture and implementation together: nouveau's chipset number, such as 0x130.
  public static let BOOT_0_CHIP_ID = BitField(28, 20)
  /// Endianness of MMIO: 0 little, 0x01000001 big.
  public static let BOOT_1: UInt32 = 0x004
  public static let BOOT_1_BIG_ENDIAN: UInt32 = 0x0100_0001
  public static let BOOT_2: UInt32 = 0x008
  /// The chip id once more.
  public static let BOOT_42: UInt32 = 0xa00
  public static let BOOT_42_CHIP_ID = BitField(28, 20)

  /// Pending interrupts, read only: tree 0 stalls, tree 1 doesn't.
  public static func INTR(_ tree: UInt32) -> UInt32 { 0x100 + 4 * tree }
  public static func INTR_MODE(_ tree: UInt32) -> UInt32 { 0x120 + 4 * tree }
  public static func INTR_EN(_ tree: UInt32) -> UInt32 { 0x140 + 4 * tree }
  public static func INTR_EN_SET(_ tree: UInt32) -> UInt32 { 0x160 + 4 * tree }
  public static func INTR_EN_CLEAR(_ tree: UInt32) -> UInt32 { 0x180 + 4 * tree }
  public static let INTR_SW: UInt32 = 0x1a0
  public static let INTR_LTC: UInt32 = 0x1c0

  public static let INTR_PFIFO = BitField(bit: 8)
  /// GP100: the replayable fault buffer holds entries.
  public static let INTR_REPLAYABLE_FAULT = BitField(bit: 9)
  public static let INTR_PGRAPH = BitField(bit: 12)
  public static let INTR_PFB = BitField(bit: 13)
  public static let INTR_PTIMER = BitField(bit: 20)
  public static let INTR_PMU = BitField(bit: 24)
  public static let INTR_LTC_PENDING = BitField(bit: 25)
  public static let INTR_PBUS = BitField(bit: 28)
  public static let INTR_PRIV_RING = BitField(bit: 30)
  public static let INTR_SOFTWARE = BitField(bit: 31)

  /// One bit a unit; a clear bit holds the unit in reset.
  public static let ENABLE: UInt32 = 0x200
  public static let ENABLE_PFIFO = BitField(bit: 8)
  public static let ENABLE_PGRAPH = BitField(bit: 12)
  /// One bit a PBDMA; all ones after reset.
  public static let ENABLE_PB: UInt32 = 0x204
}

/// Board straps.
///
/// SOURCE: nouveau nvkm/engine/device/base.c (crystal frequency).
public enum NV_STRAP {
  public static let BOOT: UInt32 = 0x101000
  public static let BOOT_CRYSTAL_MASK: UInt32 = 0x0040_0040
  public static let BOOT_CRYSTAL_13500: UInt32 = 0
  public static let BOOT_CRYSTAL_14318: UInt32 = 0x40
  public static let BOOT_CRYSTAL_27000: UInt32 = 0x0040_0000
  public static let BOOT_CRYSTAL_25000: UInt32 = 0x0040_0040
}

/// Fuses and what firmware left behind.
///
/// SOURCE: nouveau nvkm/subdev/devinit/{gf100,gm107,gm200}.c.
public enum NV_FUSE {
  /// Copy engines that are fused off: bit 0 CE0, bit 2 CE2.
  public static let STATUS_OPT_CE: UInt32 = 0x021c00
  /// Bit 0: no display.
  public static let STATUS_OPT_DISPLAY: UInt32 = 0x021c04
  /// Bit 1: firmware has run devinit.
  public static let DEVINIT_STATUS: UInt32 = 0x02240c
  public static let DEVINIT_STATUS_POSTED = BitField(bit: 1)
}
