public import Base

/// PCI configuration space of function 0, mirrored in BAR0.
///
/// SOURCE: open-gpu-doc dev_nv_xve3g_fn0 (gv100, tu104); nouveau nvkm/subdev/pci/{gp100,nv40}.c.
public enum NV_XVE {
  /// Where BAR0 shows configuration space.
  public static let mirror: UInt32 = 0x08_8000
  public static let mirrorByteCount: UInt32 = 0x1000

  public static let ID: UInt32 = 0x00
  public static let ID_VENDOR = BitField(15, 0)
  public static let ID_VENDOR_NVIDIA: UInt32 = 0x10de
  public static let ID_DEVICE_CHIP = BitField(31, 16)
  public static let DEV_CTRL: UInt32 = 0x04
  public static let DEV_CTRL_CMD_IO_SPACE = BitField(bit: 0)
  public static let DEV_CTRL_CMD_MEMORY_SPACE = BitField(bit: 1)
  public static let DEV_CTRL_CMD_BUS_MASTER = BitField(bit: 2)
  public static let DEV_CTRL_CMD_PERR = BitField(bit: 6)
  public static let DEV_CTRL_CMD_SERR = BitField(bit: 8)
  public static let DEV_CTRL_CMD_INTERRUPT_DISABLE = BitField(bit: 10)
  public static let DEV_CTRL_STAT_INTERRUPT = BitField(bit: 19)
  public static let DEV_CTRL_STAT_CAPLIST = BitField(bit: 20)
  public static let REV_ID: UInt32 = 0x08
  public static let REV_ID_REVISION = BitField(7, 0)
  public static let REV_ID_CLASS_CODE = BitField(31, 8)
  public static let REV_ID_CLASS_CODE_VGA: UInt32 = 0x03_0000
  public static let REV_ID_CLASS_CODE_3D: UInt32 = 0x03_0200
  public static let MISC_1: UInt32 = 0x0c
  public static let BAR0: UInt32 = 0x10
  public static let BAR1_LO: UInt32 = 0x14
  public static let BAR1_HI: UInt32 = 0x18
  public static let BAR2_LO: UInt32 = 0x1c
  public static let BAR2_HI: UInt32 = 0x20
  public static let BAR3: UInt32 = 0x24
  public static let SUBSYSTEM: UInt32 = 0x2c
  public static let ROM_BAR: UInt32 = 0x30
  public static let CAP_PTR: UInt32 = 0x34
  public static let INTERRUPT: UInt32 = 0x3c
  /// Writable alias of ``SUBSYSTEM``.
  public static let SUBSYSTEM_ALIAS: UInt32 = 0x40
  /// Bit 0 hides the PROM window.
  public static let ROM_CTRL: UInt32 = 0x50
  public static let VGA_DECODE: UInt32 = 0x54
  public static let PM_CAP: UInt32 = 0x60
  public static let PM_CTRL: UInt32 = 0x64
  public static let PM_CTRL_POWER_STATE = BitField(1, 0)
  public static let MSI_CTRL: UInt32 = 0x68
  public static let MSI_CTRL_ENABLE = BitField(bit: 16)
  public static let MSI_CTRL_64BIT = BitField(bit: 23)
  public static let MSI_ADDR_LO: UInt32 = 0x6c
  public static let MSI_ADDR_HI: UInt32 = 0x70
  public static let MSI_DATA: UInt32 = 0x74
  public static let PCIE_CAP: UInt32 = 0x78
  public static let DEVICE_CAP: UInt32 = 0x7c
  public static let DEVICE_CTRL: UInt32 = 0x80
  public static let LINK_CAP: UInt32 = 0x84
  public static let LINK_CTRL: UInt32 = 0x88
  public static let DEVICE_CTRL_2: UInt32 = 0xa0
  public static let LINK_CTRL_2: UInt32 = 0xa8
  public static let VC_CAP: UInt32 = 0x100
  public static let POWER_BUDGET_CAP: UInt32 = 0x128
  public static let AER_CAP: UInt32 = 0x420
  public static let AER_UNCORR_STATUS: UInt32 = 0x424
  public static let AER_UNCORR_MASK: UInt32 = 0x428
  public static let AER_UNCORR_SEVERITY: UInt32 = 0x42c
  public static let AER_CORR_STATUS: UInt32 = 0x430
  public static let AER_CORR_MASK: UInt32 = 0x434
  /// GP100: writing 0 after a message lets the next one out.
  public static let CYA_2: UInt32 = 0x704
}
