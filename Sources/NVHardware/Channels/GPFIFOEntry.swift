public import Base

/// One entry of a channel's GPFIFO ring: a push buffer segment or a control operation.
///
/// SOURCE: class header clc06f.h (NVC06F_GP_ENTRY…); open-gpu-doc dev_pbdma.
@frozen
public struct GPFIFOEntry: Hashable, Sendable {
  public var word0: UInt32
  public var word1: UInt32

  public static let byteCount = 8
  public static let GP_ENTRY0_FETCH = BitField(bit: 0)
  public static let GP_ENTRY0_GET = BitField(31, 2)
  public static let GP_ENTRY1_GET_HI = BitField(7, 0)
  public static let GP_ENTRY1_PRIV = BitField(bit: 8)
  public static let GP_ENTRY1_LEVEL = BitField(bit: 9)
  /// In dwords.
  public static let GP_ENTRY1_LENGTH = BitField(30, 10)
  public static let GP_ENTRY1_SYNC = BitField(bit: 31)
  /// When the length is 0.
  public static let GP_ENTRY1_OPCODE = BitField(7, 0)
  public static let GP_ENTRY1_OPCODE_NOP: UInt32 = 0
  public static let GP_ENTRY1_OPCODE_ILLEGAL: UInt32 = 1
  public static let GP_ENTRY1_OPCODE_GP_CRC: UInt32 = 2
  public static let GP_ENTRY1_OPCODE_PB_CRC: UInt32 = 3

  @inlinable
  public init(word0: UInt32, word1: UInt32) {
    self.word0 = word0
    self.word1 = word1
  }

  /// A segment of `dwords` words at `address`, which is a multiple of 4 below 2^40.
  public init(
    segment address: GPUVirtualAddress, dwords: UInt32, wait: Bool = false, subroutine: Bool = false
  ) {
    invariant(address.isAligned(to: 4) && address.rawValue < 1 << 40, "push buffer at \(address)")
    word0 = UInt32(truncatingIfNeeded: address.rawValue)
    word1 =
      UInt32(address.rawValue >> 32) | Self.GP_ENTRY1_LENGTH.make32(dwords)
      | Self.GP_ENTRY1_LEVEL.make32(subroutine ? 1 : 0) | Self.GP_ENTRY1_SYNC.make32(wait ? 1 : 0)
  }

  /// The segment's address; bit 0 of the word is FETCH, bit 1 is not used.
  @inlinable
  public var address: UInt64 { UInt64(word1 & 0xff) << 32 | UInt64(word0 & 0xffff_fffc) }
  /// The segment's length in dwords; 0 for a control entry.
  @inlinable
  public var dwords: UInt32 { word1 >> 10 & 0x1f_ffff }
  /// The control entry's opcode.
  @inlinable
  public var opcode: UInt32 { word1 & 0xff }
}
