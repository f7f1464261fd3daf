public import Base

/// The table of engines: what is there, where, and which runlist, interrupt, reset and fault id.
///
/// SOURCE: open-gpu-doc gv100 dev_top; nouveau nvkm/subdev/top/gk104.c.
public enum NV_PTOP {
  public static func DEVICE_INFO(_ i: UInt32) -> UInt32 { 0x02_2700 + 4 * i }
  public static let DEVICE_INFO_count: UInt32 = 64
  public static let DEVICE_INFO_CHAIN = BitField(bit: 31)
  public static let DEVICE_INFO_ENTRY = BitField(1, 0)
  public static let DEVICE_INFO_ENTRY_NOT_VALID: UInt32 = 0
  public static let DEVICE_INFO_ENTRY_DATA: UInt32 = 1
  public static let DEVICE_INFO_ENTRY_ENUM: UInt32 = 2
  public static let DEVICE_INFO_ENTRY_ENGINE_TYPE: UInt32 = 3

  public static let DEVICE_INFO_DATA_FAULT_ID_VALID = BitField(bit: 2)
  public static let DEVICE_INFO_DATA_FAULT_ID = BitField(9, 3)
  /// >> 12, in place.
  public static let DEVICE_INFO_DATA_PRI_BASE = BitField(23, 12)
  public static let DEVICE_INFO_DATA_INST_ID = BitField(29, 26)

  public static let DEVICE_INFO_RESET_VALID = BitField(bit: 2)
  public static let DEVICE_INFO_INTR_VALID = BitField(bit: 3)
  public static let DEVICE_INFO_RUNLIST_VALID = BitField(bit: 4)
  public static let DEVICE_INFO_ENGINE_VALID = BitField(bit: 5)
  public static let DEVICE_INFO_RESET_ENUM = BitField(13, 9)
  public static let DEVICE_INFO_INTR_ENUM = BitField(19, 15)
  public static let DEVICE_INFO_RUNLIST_ENUM = BitField(24, 21)
  public static let DEVICE_INFO_ENGINE_ENUM = BitField(29, 26)

  public static let DEVICE_INFO_TYPE_ENUM = BitField(30, 2)
  public static let DEVICE_INFO_TYPE_ENUM_GRAPHICS: UInt32 = 0
  public static let DEVICE_INFO_TYPE_ENUM_COPY0: UInt32 = 1
  public static let DEVICE_INFO_TYPE_ENUM_LCE: UInt32 = 0x13
}

/// One engine's entry of the table, with both directions of the encoding.
public struct TopologyEntry: Hashable, Sendable {
  public var type: UInt32
  public var instance: UInt32
  public var priBase: UInt32
  public var faultID: UInt32
  public var engine: UInt32
  public var runlist: UInt32
  public var interrupt: UInt32
  public var reset: UInt32

  public init(
    type: UInt32, instance: UInt32, priBase: UInt32, faultID: UInt32, engine: UInt32,
    runlist: UInt32, interrupt: UInt32, reset: UInt32
  ) {
    self.type = type
    self.instance = instance
    self.priBase = priBase
    self.faultID = faultID
    self.engine = engine
    self.runlist = runlist
    self.interrupt = interrupt
    self.reset = reset
  }

  /// The three dwords of the entry: DATA, ENUM, TYPE.
  public var words: [UInt32] {
    typealias P = NV_PTOP
    let data =
      P.DEVICE_INFO_ENTRY.make32(P.DEVICE_INFO_ENTRY_DATA) | P.DEVICE_INFO_CHAIN.make32(1)
      | P.DEVICE_INFO_DATA_FAULT_ID_VALID.make32(1) | P.DEVICE_INFO_DATA_FAULT_ID.make32(faultID)
      | P.DEVICE_INFO_DATA_PRI_BASE.make32(priBase >> 12)
      | P.DEVICE_INFO_DATA_INST_ID.make32(instance)
    let enumeration =
      P.DEVICE_INFO_ENTRY.make32(P.DEVICE_INFO_ENTRY_ENUM) | P.DEVICE_INFO_CHAIN.make32(1)
      | P.DEVICE_INFO_RESET_VALID.make32(1) | P.DEVICE_INFO_RESET_ENUM.make32(reset)
      | P.DEVICE_INFO_INTR_VALID.make32(1) | P.DEVICE_INFO_INTR_ENUM.make32(interrupt)
      | P.DEVICE_INFO_RUNLIST_VALID.make32(1) | P.DEVICE_INFO_RUNLIST_ENUM.make32(runlist)
      | P.DEVICE_INFO_ENGINE_VALID.make32(1) | P.DEVICE_INFO_ENGINE_ENUM.make32(engine)
    let kind =
      P.DEVICE_INFO_ENTRY.make32(P.DEVICE_INFO_ENTRY_ENGINE_TYPE)
      | P.DEVICE_INFO_TYPE_ENUM.make32(type)
    return [data, enumeration, kind]
  }
}
