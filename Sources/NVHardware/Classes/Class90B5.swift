public import Base

/// Fermi's copy engine class: the methods that the engine's microcode takes.
///
/// All addresses are virtual ones of the channel, 40 bits long. A surface is linear (rows `PITCH`
/// bytes apart) or tiled; lengths count pixels of `FORMAT`'s size.
///
/// SOURCE: envytools rnndb/fifo/pcopy.xml; the dispatch table of nouveau's
/// nvkm/engine/ce/fuc/com.fuc; nouveau_bo90b5.c.
public enum Class90B5 {
  /// The class of the first engine.
  public static let classID: UInt32 = 0x90b5
  /// The class of the second engine; the methods are the same.
  public static let secondClassID: UInt32 = 0x90b8
  /// The subchannel that drivers use for copies.
  public static let subchannel: UInt32 = 4
  /// Of the engine's method FIFO, whose numbers (byte offset / 4) have 11 bits.
  public static let lastMethodNumber: UInt32 = 0x7ff

  public static let NAME: UInt32 = 0x000
  public static let NOP: UInt32 = 0x100
  public static let PM_TRIGGER: UInt32 = 0x140

  /// Carries out what the other methods have described.
  public static let EXEC: UInt32 = 0x300
  /// Bytes pass through `FORMAT`'s swizzle.
  public static let EXEC_FORMAT = BitField(bit: 0)
  public static let EXEC_SRC_LINEAR = BitField(bit: 4)
  public static let EXEC_DST_LINEAR = BitField(bit: 8)
  public static let EXEC_QUERY = BitField(bit: 12)
  public static let EXEC_QUERY_SHORT = BitField(bit: 13)

  public static let WRCACHE_FLUSH: UInt32 = 0x304
  public static let SRC_ADDRESS_HIGH: UInt32 = 0x30c
  public static let SRC_ADDRESS_LOW: UInt32 = 0x310
  public static let DST_ADDRESS_HIGH: UInt32 = 0x314
  public static let DST_ADDRESS_LOW: UInt32 = 0x318
  public static let ADDRESS_HIGH = BitField(7, 0)
  /// Bytes; 19 bits.
  public static let SRC_PITCH: UInt32 = 0x31c
  public static let DST_PITCH: UInt32 = 0x320
  public static let PITCH = BitField(18, 0)
  /// Pixels of a line; 16 bits.
  public static let XCNT: UInt32 = 0x324
  public static let XCNT_PIXELS = BitField(15, 0)
  /// Lines; 13 bits.
  public static let YCNT: UInt32 = 0x328
  public static let YCNT_LINES = BitField(12, 0)

  public static let FORMAT: UInt32 = 0x32c
  /// What each destination component is made of: a source component, a constant, zero or one.
  public static func FORMAT_SWIZZLE(_ component: Int) -> BitField {
    BitField(4 * component + 3, 4 * component)
  }
  public static let FORMAT_SWIZZLE_CONST0: UInt32 = 4
  public static let FORMAT_SWIZZLE_CONST1: UInt32 = 5
  public static let FORMAT_SWIZZLE_NOP: UInt32 = 6
  /// Bytes of a component − 1.
  public static let FORMAT_COMPONENT_BYTES = BitField(17, 16)
  /// Components of a source pixel − 1.
  public static let FORMAT_SRC_COMPONENTS = BitField(21, 20)
  public static let FORMAT_DST_COMPONENTS = BitField(25, 24)

  public static let SWZ_CONST0: UInt32 = 0x330
  public static let SWZ_CONST1: UInt32 = 0x334
  public static let QUERY_ADDRESS_HIGH: UInt32 = 0x338
  public static let QUERY_ADDRESS_LOW: UInt32 = 0x33c
  public static let QUERY_COUNTER: UInt32 = 0x340

  /// Bytes of a channel's state in memory, to which the instance block points.
  public static let contextByteCount = 256
  /// Where instance blocks hold the pointer for engine `n`: low word, high word. The microcode
  /// reads 16 bytes.
  public static func contextPointer(_ n: UInt32) -> Int { 0x230 + 0x10 * Int(n) }
  /// Set in the pointer's low word by drivers; the microcode drops the low eight bits.
  public static let CONTEXT_POINTER_VIRTUAL: UInt32 = 4
}

/// What the microcode leaves behind when it refuses a method: SCRATCH0 and SCRATCH1, and line 6.
///
/// SOURCE: nouveau nvkm/engine/ce/gt215.c and fuc/com.fuc.
public enum PCOPYDispatch {
  public static let CODE = BitField(15, 0)
  /// The method's number in dwords.
  public static let METHOD = BitField(26, 16)
  public static let SUBCHANNEL = BitField(29, 27)

  /// The names that drivers print.
  public static func name(of code: UInt32) -> String {
    switch code {
    case 1: "ILLEGAL_MTHD"
    case 2: "INVALID_ENUM"
    case 3: "INVALID_BITFIELD"
    default: ""
    }
  }
}
