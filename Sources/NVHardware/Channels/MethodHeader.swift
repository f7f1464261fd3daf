public import Base

/// A method header of a push buffer: which methods the dwords that follow go to.
///
/// SOURCE: open-gpu-doc dev_pbdma (method header); class header clc06f.h (NVC06F_DMA_…).
@frozen
public struct MethodHeader: Hashable, Sendable {
  public var word: UInt32

  @inlinable
  public init(word: UInt32) { self.word = word }

  public static let DMA_SEC_OP = BitField(31, 29)
  public static let DMA_TERT_OP = BitField(17, 16)
  /// In dwords.
  public static let DMA_METHOD_ADDRESS = BitField(11, 0)
  public static let DMA_METHOD_SUBCHANNEL = BitField(15, 13)
  public static let DMA_METHOD_COUNT = BitField(28, 16)
  public static let DMA_IMMD_DATA = BitField(28, 16)
  /// Old forms: in bytes, bits 12:2.
  public static let DMA_METHOD_ADDRESS_OLD = BitField(12, 2)
  public static let DMA_METHOD_COUNT_OLD = BitField(28, 18)
  /// Reserved in the new forms.
  public static let DMA_METHOD_RESERVED = BitField(bit: 12)
  public static let DMA_SET_SUBDEVICE_MASK_VALUE = BitField(15, 4)

  public static let DMA_SEC_OP_GRP0_USE_TERT: UInt32 = 0
  public static let DMA_SEC_OP_INC_METHOD: UInt32 = 1
  public static let DMA_SEC_OP_GRP2_USE_TERT: UInt32 = 2
  public static let DMA_SEC_OP_NON_INC_METHOD: UInt32 = 3
  public static let DMA_SEC_OP_IMMD_DATA_METHOD: UInt32 = 4
  public static let DMA_SEC_OP_ONE_INC: UInt32 = 5
  public static let DMA_SEC_OP_RESERVED6: UInt32 = 6
  public static let DMA_SEC_OP_END_PB_SEGMENT: UInt32 = 7
  public static let DMA_TERT_OP_GRP0_INC_METHOD: UInt32 = 0
  public static let DMA_TERT_OP_GRP0_SET_SUB_DEV_MASK: UInt32 = 1
  public static let DMA_TERT_OP_GRP0_STORE_SUB_DEV_MASK: UInt32 = 2
  public static let DMA_TERT_OP_GRP0_USE_SUB_DEV_MASK: UInt32 = 3

  /// The last method address in bytes.
  public static let lastMethod: UInt32 = 0x3ffc

  /// `count` dwords to `method` and the methods after it. `method` is in bytes.
  @inlinable
  public static func incrementing(_ subchannel: UInt32, _ method: UInt32, count: UInt32) -> Self {
    make(1, subchannel, method, count)
  }
  /// `count` dwords all to `method`.
  @inlinable
  public static func nonIncrementing(_ subchannel: UInt32, _ method: UInt32, count: UInt32) -> Self
  {
    make(3, subchannel, method, count)
  }
  /// `value`, of 13 bits, to `method`, without a dword of data.
  @inlinable
  public static func immediate(_ subchannel: UInt32, _ method: UInt32, _ value: UInt32) -> Self {
    make(4, subchannel, method, value)
  }
  /// The first dword to `method`, the others to the one after it.
  @inlinable
  public static func oneIncrement(_ subchannel: UInt32, _ method: UInt32, count: UInt32) -> Self {
    make(5, subchannel, method, count)
  }

  @inlinable
  static func make(_ operation: UInt32, _ subchannel: UInt32, _ method: UInt32, _ count: UInt32)
    -> Self
  {
    invariant(
      subchannel < 8 && method <= 0x3ffc && method & 3 == 0 && count < 0x2000,
      "method header: subchannel \(subchannel), method \(method), count \(count)")
    return Self(word: operation << 29 | count << 16 | subchannel << 13 | method >> 2)
  }

  @inlinable
  public var operation: UInt32 { word >> 29 }
  @inlinable
  public var tertiary: UInt32 { word >> 16 & 3 }
  @inlinable
  public var subchannel: UInt32 { word >> 13 & 7 }
  /// In bytes; of the new forms.
  @inlinable
  public var method: UInt32 { (word & 0xfff) << 2 }
  /// Of the new forms; an immediate's value.
  @inlinable
  public var count: UInt32 { word >> 16 & 0x1fff }
  /// In bytes; of the old forms.
  @inlinable
  public var oldMethod: UInt32 { word & 0x1ffc }
  @inlinable
  public var oldCount: UInt32 { word >> 18 & 0x7ff }
}
