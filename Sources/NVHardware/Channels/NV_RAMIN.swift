public import Base

/// The instance block: 4 KiB aligned, RAMFC in its first 512 bytes.
///
/// SOURCE: open-gpu-doc gv100 dev_ram; nouveau nvkm/subdev/mmu/vmmgp100.c.
public enum NV_RAMIN {
  public static let byteCount = 4096
  /// Page directory base, low and high half.
  public static let PAGE_DIR_BASE_LO = 0x200
  public static let PAGE_DIR_BASE_HI = 0x204
  public static let PAGE_DIR_BASE_TARGET = BitField(1, 0)
  public static let PAGE_DIR_BASE_VOL = BitField(bit: 2)
  /// Faults of texture units park until replayed.
  public static let PAGE_DIR_BASE_FAULT_REPLAY_TEX = BitField(bit: 4)
  /// Faults of constant caches park until replayed.
  public static let PAGE_DIR_BASE_FAULT_REPLAY_GCC = BitField(bit: 5)
  public static let USE_VER2_PT_FORMAT = BitField(bit: 10)
  /// 1: 64 KiB, 0: 128 KiB.
  public static let BIG_PAGE_SIZE = BitField(bit: 11)
  /// Address >> 12, in place.
  public static let PAGE_DIR_BASE_ADDR = BitField(31, 12)
  /// Last valid virtual address.
  public static let ADR_LIMIT_LO = 0x208
  public static let ADR_LIMIT_HI = 0x20c
  public static let ENGINE_WFI_PTR_LO = 0x210
  public static let ENGINE_WFI_PTR_HI = 0x214
  public static let ENGINE_WFI_PTR_MODE_VIRTUAL = BitField(bit: 2)
}

/// The channel's saved host state, at the start of the instance block. Byte offsets.
///
/// SOURCE: open-gpu-doc gv100 dev_ram, dev_pbdma; nouveau nvkm/engine/fifo/{gk104,gm107}.c.
public enum NV_RAMFC {
  public static let GP_PUT = 0x00
  public static let USERD_LO = 0x08
  public static let USERD_HI = 0x0c
  public static let SIGNATURE = 0x10
  /// Matches every host class.
  public static let SIGNATURE_WILDCARD: UInt32 = 0xface
  public static let GP_GET = 0x14
  public static let GET_LO = 0x18
  public static let GET_HI = 0x1c
  public static let REF = 0x28
  public static let ACQUIRE = 0x30
  public static let ACQUIRE_RETRY_MAN = BitField(6, 0)
  public static let ACQUIRE_RETRY_EXP = BitField(10, 7)
  public static let ACQUIRE_TIMEOUT_EXP = BitField(14, 11)
  public static let ACQUIRE_TIMEOUT_MAN = BitField(30, 15)
  public static let ACQUIRE_TIMEOUT_EN = BitField(bit: 31)
  public static let GP_BASE_LO = 0x48
  public static let GP_BASE_HI = 0x4c
  /// Ring address 39:32, and log2 of its entries.
  public static let GP_BASE_HI_OFFSET = BitField(7, 0)
  public static let GP_BASE_HI_LIMIT2 = BitField(20, 16)
  public static let PB_HEADER = 0x84
  public static let SUBDEVICE = 0x94
  public static let SUBDEVICE_ID = BitField(11, 0)
  public static let SEM_PAYLOAD_HI = 0x9c
  public static let TARGET = 0xac
  public static let HCE_CTRL = 0xe4
  /// The channel may launch physical copies.
  public static let HCE_CTRL_PRIV_MODE = BitField(bit: 5)
  public static let CHANNEL_INFO = 0xe8
  public static let CONFIG = 0xf4
  /// The channel may send privileged MEM_OPs (Volta's nouveau sets it; Pascal's leaves it 0).
  public static let CONFIG_AUTH_LEVEL_PRIVILEGED = BitField(bit: 8)
  public static let RUNLIST_TIMESLICE = 0xf8
  public static let PB_TIMESLICE = 0xfc
}

/// User-visible channel control words; 512 bytes a channel, seen through BAR1 until Pascal.
///
/// SOURCE: open-gpu-doc gv100 dev_ram; class header clc06f.h.
public enum NV_RAMUSERD {
  public static let byteCount = 0x200
  public static let PUT = 0x40
  public static let GET = 0x44
  public static let REF = 0x48
  public static let PUT_HI = 0x4c
  public static let TOP_LEVEL_GET = 0x58
  public static let TOP_LEVEL_GET_HI = 0x5c
  public static let GET_HI = 0x60
  /// Written by the host, lazily.
  public static let GP_GET = 0x88
  /// Written by the driver; on Pascal a write through BAR1 is also the doorbell.
  public static let GP_PUT = 0x8c
}

/// Runlist entries until Pascal: eight bytes.
///
/// SOURCE: nouveau nvkm/engine/fifo/{gk110,gm107,gp100}.c; open-gpu-doc dev_ram.
public enum NV_RAMRL {
  public static let ENTRY_byteCount = 8
  // Word 0 of both kinds.
  public static let ENTRY_ID = BitField(11, 0)
  public static let ENTRY_TYPE_TSG = BitField(bit: 13)
  // Word 0 of a channel; word 1 is its instance block >> 12.
  public static let ENTRY_CHAN_RUNQUEUE = BitField(bit: 14)
  // Word 0 of a group (TSG); word 1 is 0.
  public static let ENTRY_TSG_TIMESLICE_SCALE = BitField(17, 14)
  public static let ENTRY_TSG_TIMESLICE_TIMEOUT = BitField(25, 18)
  public static let ENTRY_TSG_LENGTH = BitField(31, 26)

  /// A channel's entry.
  public static func channel(chid: UInt32, instance: UInt64, runqueue: UInt32 = 0) -> (
    UInt32, UInt32
  ) {
    (ENTRY_ID.make32(chid) | ENTRY_CHAN_RUNQUEUE.make32(runqueue), UInt32(instance >> 12))
  }

  /// The header of a group of `channels` channels, with nouveau's time slice (128 << 3).
  public static func group(tsgid: UInt32, channels: UInt32) -> (UInt32, UInt32) {
    let word =
      ENTRY_ID.make32(tsgid) | ENTRY_TYPE_TSG.make32(1) | ENTRY_TSG_TIMESLICE_SCALE.make32(3)
      | ENTRY_TSG_TIMESLICE_TIMEOUT.make32(128) | ENTRY_TSG_LENGTH.make32(channels)
    return (word, 0)
  }
}
