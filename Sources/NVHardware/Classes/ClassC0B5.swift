public import Base

/// Pascal's copy engine class, PASCAL_DMA_COPY_A.
///
/// SOURCE: open-gpu-doc classes/dma-copy/clc0b5.h.
public enum ClassC0B5 {
  public static let classID: UInt32 = 0xc0b5
  /// The subchannel that drivers use for copies.
  public static let subchannel: UInt32 = 4

  public static let NOP: UInt32 = 0x100
  public static let PM_TRIGGER: UInt32 = 0x140
  public static let SET_SEMAPHORE_A: UInt32 = 0x240
  public static let SET_SEMAPHORE_A_UPPER = BitField(16, 0)
  public static let SET_SEMAPHORE_B: UInt32 = 0x244
  public static let SET_SEMAPHORE_PAYLOAD: UInt32 = 0x248
  public static let SET_RENDER_ENABLE_A: UInt32 = 0x254
  public static let SET_RENDER_ENABLE_A_UPPER = BitField(7, 0)
  public static let SET_RENDER_ENABLE_B: UInt32 = 0x258
  public static let SET_RENDER_ENABLE_C: UInt32 = 0x25c
  public static let SET_RENDER_ENABLE_C_MODE = BitField(2, 0)
  public static let SET_RENDER_ENABLE_C_MODE_FALSE: UInt32 = 0
  public static let SET_RENDER_ENABLE_C_MODE_TRUE: UInt32 = 1
  public static let SET_RENDER_ENABLE_C_MODE_CONDITIONAL: UInt32 = 2
  public static let SET_RENDER_ENABLE_C_MODE_RENDER_IF_EQUAL: UInt32 = 3
  public static let SET_RENDER_ENABLE_C_MODE_RENDER_IF_NOT_EQUAL: UInt32 = 4
  public static let SET_SRC_PHYS_MODE: UInt32 = 0x260
  public static let SET_DST_PHYS_MODE: UInt32 = 0x264
  public static let PHYS_MODE_TARGET = BitField(1, 0)
  public static let PHYS_MODE_TARGET_LOCAL_FB: UInt32 = 0
  public static let PHYS_MODE_TARGET_COHERENT_SYSMEM: UInt32 = 1
  public static let PHYS_MODE_TARGET_NONCOHERENT_SYSMEM: UInt32 = 2

  public static let LAUNCH_DMA: UInt32 = 0x300
  public static let LAUNCH_DMA_DATA_TRANSFER_TYPE = BitField(1, 0)
  public static let LAUNCH_DMA_DATA_TRANSFER_TYPE_NONE: UInt32 = 0
  public static let LAUNCH_DMA_DATA_TRANSFER_TYPE_PIPELINED: UInt32 = 1
  public static let LAUNCH_DMA_DATA_TRANSFER_TYPE_NON_PIPELINED: UInt32 = 2
  public static let LAUNCH_DMA_FLUSH_ENABLE = BitField(bit: 2)
  public static let LAUNCH_DMA_SEMAPHORE_TYPE = BitField(4, 3)
  public static let LAUNCH_DMA_SEMAPHORE_TYPE_NONE: UInt32 = 0
  public static let LAUNCH_DMA_SEMAPHORE_TYPE_RELEASE_ONE_WORD_SEMAPHORE: UInt32 = 1
  public static let LAUNCH_DMA_SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE: UInt32 = 2
  public static let LAUNCH_DMA_INTERRUPT_TYPE = BitField(6, 5)
  public static let LAUNCH_DMA_INTERRUPT_TYPE_NONE: UInt32 = 0
  public static let LAUNCH_DMA_INTERRUPT_TYPE_BLOCKING: UInt32 = 1
  public static let LAUNCH_DMA_INTERRUPT_TYPE_NON_BLOCKING: UInt32 = 2
  /// 0 block linear, 1 pitch.
  public static let LAUNCH_DMA_SRC_MEMORY_LAYOUT = BitField(bit: 7)
  public static let LAUNCH_DMA_DST_MEMORY_LAYOUT = BitField(bit: 8)
  public static let LAUNCH_DMA_MEMORY_LAYOUT_BLOCKLINEAR: UInt32 = 0
  public static let LAUNCH_DMA_MEMORY_LAYOUT_PITCH: UInt32 = 1
  public static let LAUNCH_DMA_MULTI_LINE_ENABLE = BitField(bit: 9)
  public static let LAUNCH_DMA_REMAP_ENABLE = BitField(bit: 10)
  public static let LAUNCH_DMA_FORCE_RMWDISABLE = BitField(bit: 11)
  /// 0 virtual, 1 physical.
  public static let LAUNCH_DMA_SRC_TYPE = BitField(bit: 12)
  public static let LAUNCH_DMA_DST_TYPE = BitField(bit: 13)
  public static let LAUNCH_DMA_SEMAPHORE_REDUCTION = BitField(17, 14)
  /// 0 signed, 1 unsigned.
  public static let LAUNCH_DMA_SEMAPHORE_REDUCTION_SIGN = BitField(bit: 18)
  public static let LAUNCH_DMA_SEMAPHORE_REDUCTION_ENABLE = BitField(bit: 19)
  public static let LAUNCH_DMA_SRC_BYPASS_L2 = BitField(bit: 20)
  public static let LAUNCH_DMA_DST_BYPASS_L2 = BitField(bit: 21)
  /// Must be 0 in this class.
  public static let LAUNCH_DMA_RESERVED = BitField(31, 22)

  public static let OFFSET_IN_UPPER: UInt32 = 0x400
  public static let OFFSET_IN_LOWER: UInt32 = 0x404
  public static let OFFSET_OUT_UPPER: UInt32 = 0x408
  public static let OFFSET_OUT_LOWER: UInt32 = 0x40c
  public static let OFFSET_UPPER = BitField(16, 0)
  public static let PITCH_IN: UInt32 = 0x410
  public static let PITCH_OUT: UInt32 = 0x414
  /// Bytes, or elements when remapping.
  public static let LINE_LENGTH_IN: UInt32 = 0x418
  public static let LINE_COUNT: UInt32 = 0x41c

  public static let SET_REMAP_CONST_A: UInt32 = 0x700
  public static let SET_REMAP_CONST_B: UInt32 = 0x704
  public static let SET_REMAP_COMPONENTS: UInt32 = 0x708
  public static let SET_REMAP_COMPONENTS_DST_X = BitField(2, 0)
  public static let SET_REMAP_COMPONENTS_DST_Y = BitField(6, 4)
  public static let SET_REMAP_COMPONENTS_DST_Z = BitField(10, 8)
  public static let SET_REMAP_COMPONENTS_DST_W = BitField(14, 12)
  /// Of DST_X…: 0 to 3 are the source's components.
  public static let SET_REMAP_COMPONENTS_CONST_A: UInt32 = 4
  public static let SET_REMAP_COMPONENTS_CONST_B: UInt32 = 5
  public static let SET_REMAP_COMPONENTS_NO_WRITE: UInt32 = 6
  /// Bytes − 1.
  public static let SET_REMAP_COMPONENTS_COMPONENT_SIZE = BitField(17, 16)
  /// Count − 1.
  public static let SET_REMAP_COMPONENTS_NUM_SRC_COMPONENTS = BitField(21, 20)
  public static let SET_REMAP_COMPONENTS_NUM_DST_COMPONENTS = BitField(25, 24)

  public static let SET_DST_BLOCK_SIZE: UInt32 = 0x70c
  public static let SET_DST_WIDTH: UInt32 = 0x710
  public static let SET_DST_HEIGHT: UInt32 = 0x714
  public static let SET_DST_DEPTH: UInt32 = 0x718
  public static let SET_DST_LAYER: UInt32 = 0x71c
  public static let SET_DST_ORIGIN: UInt32 = 0x720
  public static let SET_SRC_BLOCK_SIZE: UInt32 = 0x728
  public static let SET_SRC_WIDTH: UInt32 = 0x72c
  public static let SET_SRC_HEIGHT: UInt32 = 0x730
  public static let SET_SRC_DEPTH: UInt32 = 0x734
  public static let SET_SRC_LAYER: UInt32 = 0x738
  public static let SET_SRC_ORIGIN: UInt32 = 0x73c
  /// log2 GOBs.
  public static let BLOCK_SIZE_WIDTH = BitField(3, 0)
  public static let BLOCK_SIZE_HEIGHT = BitField(7, 4)
  public static let BLOCK_SIZE_DEPTH = BitField(11, 8)
  /// 1: GOBs of 8 rows.
  public static let BLOCK_SIZE_GOB_HEIGHT = BitField(15, 12)
  public static let BLOCK_SIZE_GOB_HEIGHT_FERMI_8: UInt32 = 1
  public static let ORIGIN_X = BitField(15, 0)
  public static let ORIGIN_Y = BitField(31, 16)
  public static let PM_TRIGGER_END: UInt32 = 0x1114
}
