// Arithmetic on whole registers.
// SOURCE: envytools docs/hw/falcon/arith.rst.
extension FalconCore {
  @inline(__always)
  func executeWhole(_ op: FalconMicroOp) {
    let x = store[op.a]
    let y = second(op)
    switch op.operation {
    case .movImmediate: store[op.d] = y
    case .sethi: store[op.d] = x & 0xffff | y &<< 16
    case .and: logic(op, x & y)
    case .or: logic(op, x | y)
    case .xor: logic(op, x ^ y)
    case .mulu: store[op.d] = (x & 0xffff) &* (y & 0xffff)
    case .xbit: extracted(op, x &>> (y & 31) & 1, sign: false)
    case .extr: extracted(op, field(x, y), sign: false)
    default: executeRareWhole(op, x, y)
    }
  }

  @inline(__always)
  private func logic(_ op: FalconMicroOp, _ result: UInt32) {
    store[op.d] = result
    let cleared =
      FalconFlag.carry | FalconFlag.overflow | FalconFlag.sign | FalconFlag.zero
    store.flags =
      store.flags & ~cleared | (result >> 31) << 10 | (result == 0 ? FalconFlag.zero : 0)
  }

  /// Sets sign and zero; carry and overflow stay.
  @inline(__always)
  private func extracted(_ op: FalconMicroOp, _ result: UInt32, sign: Bool) {
    store[op.d] = result
    store.flags =
      store.flags & ~(FalconFlag.sign | FalconFlag.zero) | (sign ? FalconFlag.sign : 0)
      | (result == 0 ? FalconFlag.zero : 0)
  }

  /// The bit field that `selector` names: low bit in 4:0, width less one in 9:5.
  @inline(__always)
  private func field(_ value: UInt32, _ selector: UInt32) -> UInt32 {
    (value &>> (selector & 31)) & Self.ones(selector)
  }

  /// As many low bits as the selector's field has.
  @inline(__always)
  private static func ones(_ selector: UInt32) -> UInt32 {
    UInt32.max &>> (31 - (selector &>> 5 & 31))
  }

  private func executeRareWhole(_ op: FalconMicroOp, _ x: UInt32, _ y: UInt32) {
    let bit: UInt32 = 1 &<< (y & 31)
    switch op.operation {
    case .muls:
      let product =
        Int32(Int16(truncatingIfNeeded: x)) &* Int32(Int16(truncatingIfNeeded: y))
      store[op.d] = UInt32(bitPattern: product)
    case .sext:
      let low = x & (bit &- 1)
      let negative = x & bit != 0
      extracted(op, negative ? low | 0 &- bit : low, sign: negative)
    case .extrs:
      let sign = x &>> ((y & 31) &+ (y &>> 5 & 31) & 31) & 1 == 1
      let value = field(x, y)
      extracted(op, sign ? value | ~Self.ones(y) : value, sign: sign)
    case .ins:
      // The destination is the value changed: d holds the old bits, a the field's new ones.
      let low = y & 31
      guard low + (y &>> 5 & 31) < 32 else { return }
      let mask = Self.ones(y) &<< low
      store[op.d] = store[op.d] & ~mask | x &<< low & mask
    case .div: store[op.d] = y == 0 ? .max : x / y
    case .mod: store[op.d] = y == 0 ? x : x % y
    case .bset: setBits(op, x | bit)
    case .bclr: setBits(op, x & ~bit)
    case .btgl: setBits(op, x ^ bit)
    default: setBits(op, store.flags & ~bit | (x & 1) &<< (y & 31))
    }
  }

  /// Stores a changed register; a changed flags register may let an interrupt in.
  private func setBits(_ op: FalconMicroOp, _ value: UInt32) {
    guard op.d == FalconMicroOp.Slot.flags else {
      store[op.d] = value
      return
    }
    store.flags = value & FalconFlag.implemented
    store.limit = 0
  }
}
