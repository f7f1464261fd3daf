/// Writes instructions in the syntax that ``FalconAssembler`` reads.
///
/// Every encoding has a text of its own: a form that is longer than its value needs says `long`,
/// and bits without a meaning are kept as `unused bits`, so that assembling the text gives the same
/// bytes.
public enum FalconDisassembler {
  /// The text of one instruction that stands at `address`.
  public static func text(_ instruction: FalconInstruction, at address: UInt32) -> String {
    let encoding = instruction.encoding
    var parts = [encoding.mnemonic]
    if let size = instruction.size { parts.append(size.name) }
    for operand in encoding.operands {
      parts.append(text(operand, of: instruction, at: address))
    }
    if instruction.unusedBits != 0 {
      parts.append("unused " + FalconNames.hex(instruction.unusedBits))
    }
    return parts.joined(separator: " ")
  }

  /// One line for each instruction of `code`; bytes that are none are written as `.b8`.
  public static func listing(_ code: [UInt8], origin: UInt32 = 0) -> [String] {
    var lines: [String] = []
    var offset = 0
    while offset < code.count {
      switch FalconDecoder.decode(code, at: offset) {
      case .instruction(let instruction):
        lines.append(text(instruction, at: origin &+ UInt32(offset)))
        offset += instruction.length
      case .undefined(_, let length):
        lines.append(data(code, offset, length))
        offset += length
      case .truncated:
        lines.append(data(code, offset, code.count - offset))
        offset = code.count
      }
    }
    return lines
  }

  private static func data(_ code: [UInt8], _ offset: Int, _ count: Int) -> String {
    let bytes = code[offset..<offset + count].map { FalconNames.hex(UInt32($0)) }
    return ".b8 " + bytes.joined(separator: " ")
  }

  private static func text(
    _ operand: FalconOperand, of instruction: FalconInstruction, at address: UInt32
  ) -> String {
    switch operand {
    case .register(let field): return "r\(instruction.register(field))"
    case .special(let field): return FalconNames.special(number: instruction.register(field))
    case .stackPointer: return "sp"
    case .flags: return "flags"
    case .condition(let condition): return condition.name
    case .flag:
      return FalconNames.flag(number: UInt8(instruction.rawImmediate(.byte)))
    case .immediate(let width, let kind):
      return immediate(instruction, width, signed: kind == .signed)
    case .bitField(let width): return bitField(instruction, width)
    case .relativeTarget(let width):
      let displacement = instruction.immediate(width, signed: true)
      let long = width == .word && Int8(exactly: Int32(bitPattern: displacement)) != nil
      return mark(long) + FalconNames.hex(address &+ displacement)
    case .absoluteTarget(let width):
      let target = instruction.rawImmediate(width)
      return mark(width == .word && target < 0x100) + FalconNames.hex(target)
    case .data(let base, let index):
      return "D[" + text(base, of: instruction)
        + text(index, of: instruction, scale: instruction.size?.bytes ?? 4) + "]"
    case .io(let field, let index):
      return "I[r\(instruction.register(field))" + text(index, of: instruction, scale: 4) + "]"
    }
  }

  private static func mark(_ long: Bool) -> String { long ? "long " : "" }

  private static func immediate(
    _ instruction: FalconInstruction, _ width: FalconWidth, signed: Bool
  ) -> String {
    let value = instruction.immediate(width, signed: signed)
    guard signed else {
      return mark(width == .word && value < 0x100) + FalconNames.hex(value)
    }
    let number = Int32(bitPattern: value)
    let long = width == .word && Int8(exactly: number) != nil
    return mark(long) + (number < 0 ? "-" : "") + FalconNames.hex(number.magnitude)
  }

  private static func bitField(_ instruction: FalconInstruction, _ width: FalconWidth) -> String {
    let raw = instruction.rawImmediate(width)
    let low = raw & 0x1f
    let high = low + (raw >> 5 & 0x1f)
    let long = mark(width == .word && raw < 0x100)
    return raw < 0x400 && high < 32 ? "\(long)\(low)..\(high)" : long + FalconNames.hex(raw)
  }

  private static func text(_ base: FalconBase, of instruction: FalconInstruction) -> String {
    switch base {
    case .register(let field): "r\(instruction.register(field))"
    case .stackPointer: "sp"
    }
  }

  private static func text(
    _ index: FalconIndex, of instruction: FalconInstruction, scale: UInt32
  ) -> String {
    switch index {
    case .none: ""
    case .immediate: " + " + FalconNames.hex(instruction.rawImmediate(.byte) * scale)
    case .register(let field): " + r\(instruction.register(field))*\(scale)"
    }
  }
}
