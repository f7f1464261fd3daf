public import Base

/// The registers of the copy unit behind a PCOPY falcon, by host offset from the engine's base.
///
/// SOURCE: envytools rnndb/fifo/pcopy.xml.
public enum PCOPYRegister: UInt32, Sendable {
  case control = 0x800
  /// Lines to copy.
  case lineCount = 0x804
  case sourceAddressLow = 0x808
  case destinationAddressLow = 0x80c
  /// Bytes of a line.
  case sourceLineBytes = 0x810
  case destinationLineBytes = 0x814
  /// Block size in quarter lines times layers 15:0, address bits 39:32 in 23:16.
  case sourceConfiguration = 0x818
  case destinationConfiguration = 0x81c
  /// Lines left in the first block 11:0, lines of a block 23:12.
  case sourceBlock = 0x820
  case destinationBlock = 0x824
  /// Linear: bytes from line to line. Block-linear: bytes from a row's first block to its last.
  case sourcePitch = 0x828
  case destinationPitch = 0x82c
  case swizzleControl = 0x830
  case swizzleMap0 = 0x834
  case swizzleMap1 = 0x838
  case swizzleMap2 = 0x83c
  case swizzleMap3 = 0x840
  case swizzleConstant0 = 0x844
  case swizzleConstant1 = 0x848
  case status = 0x900
  case interruptEnable = 0x904
  case interrupt = 0x908

  /// The registers that a copy is made from, ``control`` being the first.
  static let copyRegisters: ClosedRange<UInt32> = 0x800...0x848
}

/// The bits of ``PCOPYRegister/control``.
public enum PCOPYControl {
  /// Written: start. Read: busy.
  public static let trigger = BitField(bit: 0)
  /// 0 at once, 1 when idle, 2 after a flush.
  public static let startMode = BitField(2, 1)
  public static let finishFlush = BitField(bit: 3)
  public static let interrupt = BitField(bit: 4)
  /// 1: the unit waits after this copy until the interrupt is cleared.
  public static let blockingInterrupt = BitField(bit: 5)
  public static let multiLine = BitField(bit: 6)
  public static let sourceBlockLinear = BitField(bit: 7)
  public static let destinationBlockLinear = BitField(bit: 8)
  public static let swizzle = BitField(bit: 9)
  /// 1: a block is 64 bytes wide, 0: 16.
  public static let sourceWideBlock = BitField(bit: 17)
  public static let destinationWideBlock = BitField(bit: 18)
  public static let sourcePort = BitField(28, 26)
  public static let destinationPort = BitField(31, 29)

  /// Bits 16:10 are set by known microcode and have no described effect; these have no name at all.
  static let unknown: UInt32 = 0x03f8_0000
}
