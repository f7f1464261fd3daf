/// A four-bit register number's place in an instruction.
public enum FalconField: UInt8, Sendable {
  /// Byte 1, bits 3:0.
  case rl
  /// Byte 1, bits 7:4.
  case rh
  /// Byte 2, bits 7:4.
  case rx

  var shift: UInt32 {
    switch self {
    case .rl: 8
    case .rh: 12
    case .rx: 20
    }
  }
}

/// How an immediate's bits are read.
public enum FalconImmediateKind: Sendable {
  /// Zero-extended.
  case unsigned
  /// Sign-extended.
  case signed
  /// Only the low five bits (or fewer) count; the others are kept but have no effect.
  case truncated
}

/// The number of bytes that an immediate, an address or a displacement takes in the instruction.
public enum FalconWidth: UInt8, Sendable {
  case byte = 1
  case word = 2

  var mask: UInt32 { self == .byte ? 0xff : 0xffff }
}

/// What is added to the base register of a memory or I/O operand.
public enum FalconIndex: Hashable, Sendable {
  case none
  /// Byte 2, scaled by the access size.
  case immediate
  /// A register, scaled by the access size.
  case register(FalconField)
}

/// The base of a data operand.
public enum FalconBase: Hashable, Sendable {
  case register(FalconField)
  case stackPointer
}

/// One operand as the encoding holds it, in the order of the assembly text.
public enum FalconOperand: Hashable, Sendable {
  case register(FalconField)
  case special(FalconField)
  case stackPointer
  case flags
  case immediate(FalconWidth, FalconImmediateKind)
  /// A bit number of the flags register.
  case flag
  /// A low bit number and a width less one, for `extr`, `extrs` and `ins`.
  case bitField(FalconWidth)
  case relativeTarget(FalconWidth)
  case absoluteTarget(FalconWidth)
  case data(FalconBase, FalconIndex)
  case io(FalconField, FalconIndex)
  /// The condition of a branch, which is part of the opcode.
  case condition(FalconCondition)
}

/// Where an opcode has its second part.
public enum FalconSelector: Hashable, Sendable {
  case none
  /// Byte 1, bits 3:0.
  case byte1(UInt8)
  /// Byte 1, bits 5:0.
  case byte1Wide(UInt8)
  /// Byte 2, bits 3:0.
  case byte2(UInt8)
}

/// One row of the instruction table: decoder, assembler and disassembler all read it.
public struct FalconEncoding: Sendable {
  /// The name in assembly text.
  public let mnemonic: String
  public let operation: FalconOperation
  /// The first byte; for a sized form without its two top bits.
  public let opcode: UInt8
  /// Whether the two top bits of the first byte choose 8, 16 or 32 bits.
  public let isSized: Bool
  public let selector: FalconSelector
  public let operands: [FalconOperand]
  /// The length in bytes, 2 to 4.
  public let length: Int
  /// The bits that tell this row from others, as a little-endian word.
  package let mask: UInt32
  /// Those bits' values.
  package let match: UInt32
  /// Every bit with a meaning; the others are unused and the core ignores them.
  let used: UInt32

  init(
    _ mnemonic: String, _ operation: FalconOperation, _ opcode: UInt8,
    _ selector: FalconSelector = .none, _ operands: [FalconOperand] = []
  ) {
    self.mnemonic = mnemonic
    self.operation = operation
    self.opcode = opcode
    self.selector = selector
    self.operands = operands
    isSized = opcode < 0xc0
    length = Self.length(ofFirstByte: opcode)
    var mask: UInt32 = isSized ? 0x3f : 0xff
    var match = UInt32(opcode)
    switch selector {
    case .none: break
    case .byte1(let value):
      mask |= 0x0f00
      match |= UInt32(value) << 8
    case .byte1Wide(let value):
      mask |= 0x3f00
      match |= UInt32(value) << 8
    case .byte2(let value):
      mask |= 0x0f_0000
      match |= UInt32(value) << 16
    }
    self.mask = mask
    self.match = match
    used = operands.reduce(mask | 0xff) { $0 | $1.usedBits }
  }

  /// The length in bytes of any instruction that starts with this byte, defined or not.
  static func length(ofFirstByte byte: UInt8) -> Int {
    if byte < 0xc0 {
      switch byte & 0x3f {
      case 0x20...0x2f, 0x31, 0x37: return 4
      case 0x3d: return 2
      default: return 3
      }
    }
    switch byte {
    case 0xe0...0xef, 0xf1, 0xf5: return 4
    case 0xf8, 0xf9, 0xfc: return 2
    default: return 3
    }
  }
}

extension FalconIndex {
  var usedBits: UInt32 {
    switch self {
    case .none: 0
    case .immediate: 0xff_0000
    case .register(let field): 0xf << field.shift
    }
  }
}

extension FalconOperand {
  /// The bits of the instruction word that this operand occupies.
  var usedBits: UInt32 {
    switch self {
    case .register(let field), .special(let field): 0xf << field.shift
    case .stackPointer, .flags, .condition: 0
    case .immediate(let width, _), .bitField(let width), .relativeTarget(let width),
      .absoluteTarget(let width):
      width.mask << 16
    case .flag: 0xff_0000
    case .data(.register(let field), let index), .io(let field, let index):
      0xf << field.shift | index.usedBits
    case .data(.stackPointer, let index): index.usedBits
    }
  }
}
