/// The special registers that are not in the interpreter's slots.
struct FalconSpecialRegisters {
  var iv0: UInt32 = 0
  var iv1: UInt32 = 0
  /// The trap vector, or nil while the microcode has not set one.
  var trapVector: UInt32?
  var xcbase: UInt32 = 0
  var xdbase: UInt32 = 0
  var xtargets: UInt32 = 0
  var tstatus: UInt32 = 0
}

/// The flags register's bits.
/// SOURCE: envytools docs/hw/falcon/isa.rst.
enum FalconFlag {
  static let carry: UInt32 = 1 << 8
  static let overflow: UInt32 = 1 << 9
  static let sign: UInt32 = 1 << 10
  static let zero: UInt32 = 1 << 11
  static let interruptEnable0: UInt32 = 1 << 16
  static let interruptEnable1: UInt32 = 1 << 17
  static let interruptSave0: UInt32 = 1 << 20
  static let interruptSave1: UInt32 = 1 << 21
  static let trapActive: UInt32 = 1 << 24
  /// The bits that version 3 has.
  static let implemented: UInt32 = 0x0133_0fff
}

extension FalconCore {
  /// `mov sr, r`.
  func setSpecial(_ number: UInt8, to value: UInt32, pc: UInt32) {
    switch number {
    case 0: special.iv0 = value & store.pcMask
    case 1: special.iv1 = value & store.pcMask
    case 3: special.trapVector = value & store.pcMask
    case 4: store.stackPointer = value
    case 6: special.xcbase = value
    case 7: special.xdbase = value
    case 8:
      store.flags = value & FalconFlag.implemented
      store.limit = 0
    case 11: special.xtargets = value & 0x7707
    case 5, 12: report(.readOnlySpecial(number: number, pc: pc))
    default: report(.unimplementedSpecial(number: number, isWrite: true, pc: pc))
    }
  }

  /// `mov r, sr`; `pc` is the address of the instruction itself.
  func readSpecial(_ number: UInt8, pc: UInt32) -> UInt32 {
    switch number {
    case 0: return special.iv0
    case 1: return special.iv1
    case 3: return special.trapVector ?? 0
    case 4: return store.stackPointer
    case 5: return pc
    case 6: return special.xcbase
    case 7: return special.xdbase
    case 8: return store.flags
    case 11: return special.xtargets
    case 12: return special.tstatus
    default:
      report(.unimplementedSpecial(number: number, isWrite: false, pc: pc))
      return 0
    }
  }
}
