public import Base

/// A push buffer DMA unit. Offsets up to 0xfc are those of the save area in RAMFC.
///
/// SOURCE: open-gpu-doc gv100 dev_pbdma; nouveau nvkm/engine/fifo/{gf100,gk104,gk208}.c.
public enum NV_PPBDMA {
  public static func base(_ pbdma: UInt32) -> UInt32 { 0x04_0000 + 0x2000 * pbdma }
  public static let stride: UInt32 = 0x2000

  // Offsets from `base(_:)`.
  public static let GP_PUT: UInt32 = 0x00
  public static let GP_GET: UInt32 = 0x14
  public static let GET: UInt32 = 0x18
  public static let GET_HI: UInt32 = 0x1c
  public static let REF: UInt32 = 0x28
  public static let ACQUIRE: UInt32 = 0x30
  public static let PB_HEADER: UInt32 = 0x84
  public static let METHOD0: UInt32 = 0xc0
  public static let DATA0: UInt32 = 0xc4
  public static let METHOD0_INCR = BitField(bit: 0)
  public static let METHOD0_ADDR = BitField(13, 2)
  public static let METHOD0_SUBCH = BitField(18, 16)
  public static let METHOD0_FIRST = BitField(bit: 22)
  public static let METHOD0_VALID = BitField(bit: 31)
  /// What nouveau puts in place of an offending method: a host NOP.
  public static let METHOD0_NOP: UInt32 = 0x8060_0008
  public static let STATUS: UInt32 = 0x100
  public static let INTR_0: UInt32 = 0x108
  public static let INTR_EN_0: UInt32 = 0x10c
  /// The GPFIFO entry that gave a GPENTRY error.
  public static let GP_SHADOW_0: UInt32 = 0x110
  public static let GP_SHADOW_1: UInt32 = 0x114
  /// The header that gave a PBENTRY error.
  public static let HDR_SHADOW: UInt32 = 0x118
  public static let CHANNEL: UInt32 = 0x120
  public static let CHANNEL_CHID = BitField(11, 0)
  public static let TIMEOUT: UInt32 = 0x12c
  public static let INTR_STALL: UInt32 = 0x13c
  public static let INTR_STALL_1: UInt32 = 0x140
  public static let INTR_1: UInt32 = 0x148
  public static let INTR_EN_1: UInt32 = 0x14c
  /// The method of an INTR_1 error.
  public static let HCE_DBG0: UInt32 = 0x150
  /// Its data.
  public static let HCE_DBG1: UInt32 = 0x154

  public static let INTR_0_MEMREQ = BitField(bit: 0)
  public static let INTR_0_GPFIFO = BitField(bit: 13)
  public static let INTR_0_GPPTR = BitField(bit: 14)
  public static let INTR_0_GPENTRY = BitField(bit: 15)
  public static let INTR_0_PBPTR = BitField(bit: 17)
  public static let INTR_0_PBENTRY = BitField(bit: 18)
  public static let INTR_0_METHOD = BitField(bit: 21)
  /// A method of a software class: the driver emulates it.
  public static let INTR_0_DEVICE = BitField(bit: 23)
  public static let INTR_0_SEMAPHORE = BitField(bit: 25)
  public static let INTR_0_ACQUIRE = BitField(bit: 26)
  public static let INTR_0_PBSEG = BitField(bit: 30)
  public static let INTR_0_SIGNATURE = BitField(bit: 31)
  /// The bits of INTR_0 that kill a channel in nouveau (`gk104_runq_intr_0`).
  public static let INTR_0_FATAL: UInt32 = 0xc67f_e000

  public static let INTR_1_HCE_RE_ILLEGAL_OP = BitField(bit: 0)
  public static let INTR_1_HCE_RE_ALIGNB = BitField(bit: 1)
  /// A physical LAUNCH_DMA of a channel without privilege.
  public static let INTR_1_HCE_PRIV = BitField(bit: 2)
  public static let INTR_1_HCE_ILLEGAL_MTHD = BitField(bit: 3)
  public static let INTR_1_HCE_ILLEGAL_CLASS = BitField(bit: 4)
  public static let INTR_1_CTXNOTVALID = BitField(bit: 31)
}
