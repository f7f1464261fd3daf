/// An instruction in the form that the interpreter runs: 12 bytes, fields ready to use.
struct FalconMicroOp: BitwiseCopyable {
  /// Register slots beyond the sixteen general ones.
  enum Slot {
    static let stackPointer: UInt8 = 16
    static let flags: UInt8 = 17
    /// `b` holds no register: the operand is `imm`.
    static let immediate: UInt8 = 0xff
  }

  var group: FalconGroup = .undecoded
  var operation: FalconOperation = .exit
  var length: UInt8 = 0
  var cycles: UInt8 = 1
  /// The destination, or the value to store.
  var d: UInt8 = 0
  /// The first source, or the base of an address.
  var a: UInt8 = 0
  /// The second source, or the index of an address.
  var b: UInt8 = Slot.immediate
  /// 32 less the operand's bits for arithmetic; the scale's log2 for an address.
  var shift: UInt8 = 0
  var imm: UInt32 = 0

  static let undecoded = FalconMicroOp()
}

extension FalconMicroOp {
  /// Prepares a decoded instruction that stands at virtual address `pc`.
  init(_ instruction: FalconInstruction, at pc: UInt32) {
    let encoding = instruction.encoding
    operation = encoding.operation
    group = operation.group
    length = UInt8(encoding.length)
    cycles = Self.cycles(operation)
    if let size = instruction.size { shift = UInt8(32 - size.bits) }
    var sources: [UInt8] = []
    for operand in encoding.operands {
      switch operand {
      case .register(let field), .special(let field):
        sources.append(instruction.register(field))
      case .stackPointer: sources.append(Slot.stackPointer)
      case .flags: sources.append(Slot.flags)
      case .immediate(let width, let kind):
        place(immediate: instruction.immediate(width, signed: kind == .signed), &sources)
      case .flag: place(immediate: instruction.rawImmediate(.byte), &sources)
      case .bitField(let width), .absoluteTarget(let width):
        place(immediate: instruction.rawImmediate(width), &sources)
      case .relativeTarget(let width):
        imm = pc &+ instruction.immediate(width, signed: true)
      case .data(let base, let index):
        setAddress(instruction, base, index, scale: UInt32(instruction.size?.rawValue ?? 2))
      case .io(let field, let index):
        setAddress(instruction, .register(field), index, scale: 2)
      case .condition(let condition): d = condition.code
      }
    }
    place(sources)
    if operation == .bra, encoding.operands.count == 1 { d = FalconCondition.always.code }
    if operation == .trap { imm = instruction.word >> 8 & 3 }
  }

  private mutating func place(immediate: UInt32, _ sources: inout [UInt8]) {
    imm = immediate
    sources.append(Slot.immediate)
  }

  private mutating func setAddress(
    _ instruction: FalconInstruction, _ base: FalconBase, _ index: FalconIndex, scale: UInt32
  ) {
    switch base {
    case .register(let field): a = instruction.register(field)
    case .stackPointer: a = Slot.stackPointer
    }
    switch index {
    case .none: imm = 0
    case .immediate: imm = instruction.rawImmediate(.byte) << scale
    case .register(let field): b = instruction.register(field)
    }
    shift = UInt8(scale)
  }

  /// Puts the operands that are no addresses into the slots, by what the operation does with them.
  private mutating func place(_ sources: [UInt8]) {
    switch operation {
    case .ld, .st, .iord, .iords, .iowr, .iowrs:
      d = sources.first ?? 0
    case .cmpu, .cmps, .cmp, .xcld, .xdld, .xdst:
      a = sources[0]
      b = sources[1]
    case .setp:
      b = sources[0]
      a = sources[1]
      d = Slot.flags
    case .push, .jmp, .call, .itlb, .sleep:
      b = sources.last ?? Slot.immediate
      a = b
    default:
      d = operation == .bra ? d : sources.first ?? 0
      a = sources.count == 3 ? sources[1] : sources.count == 2 ? d : sources.first ?? 0
      b = sources.last ?? Slot.immediate
      if isMove { a = b }
    }
  }

  /// Whether two operands are a destination and its only source.
  private var isMove: Bool {
    switch operation {
    case .not, .neg, .mov, .hswap, .moveToSpecial, .moveFromSpecial, .ptlb, .vtlb: true
    default: false
    }
  }

  /// Core cycles, without what waiting and a taken branch add.
  ///
  /// SOURCE: envytools docs/hw/falcon/isa.rst; `div` and `mod` take 30 to 33, here 32; a return
  /// takes 5 or 6, of which one is the second code word's.
  private static func cycles(_ operation: FalconOperation) -> UInt8 {
    switch operation {
    case .div, .mod: 32
    case .iowrs: 9
    case .jmp, .call: 4
    case .ret, .iret: 5
    default: 1
    }
  }
}
