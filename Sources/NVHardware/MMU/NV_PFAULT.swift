public import Base

/// An entry of GP100's replayable fault buffer, 32 bytes (class MAXWELL_FAULT_BUFFER_A, B069).
///
/// SOURCE: RM class/clb069.h.
public enum NVB069_FAULT_BUF_ENTRY {
  public static let byteCount = 32
  public static let INST_LO_WORD = 0x00
  public static let INST_APERTURE = BitField(9, 8)
  public static let INST_LO = BitField(31, 12)
  public static let INST_HI_WORD = 0x04
  public static let ADDR_LO_WORD = 0x08
  public static let ADDR_HI_WORD = 0x0c
  public static let TIMESTAMP_LO_WORD = 0x10
  public static let TIMESTAMP_HI_WORD = 0x14
  public static let INFO_WORD = 0x1c
  public static let FAULT_TYPE = BitField(4, 0)
  public static let CLIENT = BitField(14, 8)
  public static let ACCESS_TYPE = BitField(18, 16)
  /// 0 GPC, 1 hub.
  public static let MMU_CLIENT_TYPE = BitField(bit: 20)
  public static let GPC_ID = BitField(28, 24)
  /// Set before PUT moves; cleared by the driver.
  public static let VALID = BitField(bit: 31)
}

/// Fault numbers of GP100.
///
/// SOURCE: RM swref/published/pascal/gp100/dev_fault.h; nouveau nvkm/engine/fifo/gp100.c.
public enum NV_PFAULT {
  /// Why an address could not be translated.
  public enum FaultType: UInt32, Sendable, CaseIterable {
    case PDE = 0
    case PDE_SIZE = 1
    case PTE = 2
    case VA_LIMIT_VIOLATION = 3
    case UNBOUND_INST_BLOCK = 4
    case PRIV_VIOLATION = 5
    case RO_VIOLATION = 6
    case WO_VIOLATION = 7
    case PITCH_MASK_VIOLATION = 8
    case WORK_CREATION = 9
    case UNSUPPORTED_APERTURE = 0xa
    case COMPRESSION_FAILURE = 0xb
    case UNSUPPORTED_KIND = 0xc
    case REGION_VIOLATION = 0xd
    case POISONED = 0xe
    case ATOMIC_VIOLATION = 0xf
  }

  /// What the access wanted.
  public enum AccessType: UInt32, Sendable, CaseIterable {
    case READ = 0
    case WRITE = 1
    case ATOMIC = 2
    case PREFETCH = 3
  }

  public static let MMU_ENG_ID_GRAPHICS: UInt32 = 0
  public static let MMU_ENG_ID_IFB: UInt32 = 3
  public static let MMU_ENG_ID_BAR1: UInt32 = 4
  public static let MMU_ENG_ID_BAR2: UInt32 = 5
  public static let MMU_ENG_ID_HOST0: UInt32 = 6
  public static let MMU_ENG_ID_CE0: UInt32 = 21
  public static let MMU_ENG_ID_CE1: UInt32 = 22
  public static let MMU_ENG_ID_CE2: UInt32 = 27
  public static let MMU_ENG_ID_CE3: UInt32 = 28
  public static let MMU_ENG_ID_CE4: UInt32 = 29
  public static let MMU_ENG_ID_CE5: UInt32 = 30
  public static let MMU_ENG_ID_PHYSICAL: UInt32 = 31

  public static let CLIENT_HUB_CE0: UInt32 = 0x01
  public static let CLIENT_HUB_CE1: UInt32 = 0x02
  public static let CLIENT_HUB_FE: UInt32 = 0x04
  public static let CLIENT_HUB_HOST: UInt32 = 0x06
  public static let CLIENT_HUB_HOST_CPU: UInt32 = 0x07
  public static let CLIENT_HUB_CE2: UInt32 = 0x18
  public static let CLIENT_HUB_HSCE0: UInt32 = 0x20
  /// Clients of a GPC: the level 1 caches count from 0.
  public static let CLIENT_GPC_T1_0: UInt32 = 0x01
}
