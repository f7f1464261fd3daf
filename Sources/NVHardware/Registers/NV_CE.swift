public import Base

/// Copy engine registers: logical engines (LCE) over physical ones (PCE).
///
/// SOURCE: open-gpu-doc tu104 dev_ce; nouveau nvkm/engine/ce/gp100.c uses the same block on GP100.
public enum NV_CE {
  public static let PCE_MAP: UInt32 = 0x10_4028
  public static func GRCE_CONFIG(_ i: UInt32) -> UInt32 { 0x10_4034 + 4 * i }
  public static func PCE2LCE_CONFIG(_ i: UInt32) -> UInt32 { 0x10_4040 + 4 * i }
  public static let LCE_base: UInt32 = 0x10_4400
  public static let LCE_stride: UInt32 = 0x80
  public static func LCE_STATUS(_ lce: UInt32) -> UInt32 { LCE_base + LCE_stride * lce }
  public static func LCE_BIND_STATUS(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x04 }
  public static func LCE_INTR_EN(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x0c }
  public static func LCE_INTR_STATUS(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x10 }
  public static func LCE_OPT(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x14 }
  public static func LCE_LAUNCHERR(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x18 }
  public static func LCE_ENGCTL(_ lce: UInt32) -> UInt32 { LCE_STATUS(lce) + 0x1c }

  public static let LCE_INTR_STATUS_BLOCKPIPE = BitField(bit: 0)
  public static let LCE_INTR_STATUS_NONBLOCKPIPE = BitField(bit: 1)
  public static let LCE_INTR_STATUS_LAUNCHERR = BitField(bit: 2)
  public static let LCE_INTR_STATUS_INVALID_CONFIG = BitField(bit: 3)
  public static let LCE_LAUNCHERR_REPORT = BitField(3, 0)
}

/// Why a copy engine refused a launch (`NV_CE_LCE_LAUNCHERR_REPORT`).
///
/// SOURCE: nouveau nvkm/engine/ce/gp100.c; open-gpu-doc tu104 dev_ce.
public enum LaunchError: UInt32, Sendable, Error {
  case NO_ERR = 0
  case LAYER_EXCEEDS_DEPTH_2D = 1
  case INVALID_ALIGNMENT = 2
  case MEM2MEM_RECT_OUT_OF_BOUNDS = 3
  case SRC_LINE_EXCEEDS_PITCH = 4
  case SRC_LINE_EXCEEDS_NEG_PITCH = 5
  case DST_LINE_EXCEEDS_PITCH = 6
  case DST_LINE_EXCEEDS_NEG_PITCH = 7
  case BAD_SRC_PIXEL_COMP_REF = 8
  case INVALID_VALUE = 9
  case UNUSED_FIELD = 0xa
  case INVALID_OPERATION = 0xb
  case NO_RESOURCES = 0xc
  case INVALID_CONFIG = 0xd
}
