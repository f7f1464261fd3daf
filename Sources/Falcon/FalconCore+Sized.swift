// Arithmetic on 8, 16 or 32 bits. Operands are shifted up so that their top bit is bit 31; carry,
// overflow, sign and zero are then those of a 32-bit operation whatever the size, and no branch on
// the size is needed.
// SOURCE: envytools docs/hw/falcon/arith.rst.
extension FalconCore {
  /// The second operand: a register or the immediate.
  @inline(__always)
  func second(_ op: FalconMicroOp) -> UInt32 {
    op.b == FalconMicroOp.Slot.immediate ? op.imm : store[op.b]
  }

  /// Stores the top bits of `top` as the low bits of the destination, whose other bits stay.
  @inline(__always)
  private func write(_ op: FalconMicroOp, _ top: UInt32) {
    let shift = UInt32(op.shift)
    let kept = store[op.d] & ~(UInt32.max &>> shift)
    store[op.d] = kept | top &>> shift
  }

  @inline(__always)
  private func setFlags(carry: Bool, overflow: Bool, result: UInt32) {
    let kept =
      store.flags
      & ~(FalconFlag.carry | FalconFlag.overflow | FalconFlag.sign | FalconFlag.zero)
    store.flags =
      kept | (carry ? FalconFlag.carry : 0) | (overflow ? FalconFlag.overflow : 0)
      | (result >> 31) << 10 | (result == 0 ? FalconFlag.zero : 0)
  }

  /// Sets overflow, sign and zero; carry stays.
  @inline(__always)
  private func setFlags(overflow: Bool, result: UInt32) {
    setFlags(
      carry: store.flags & FalconFlag.carry != 0, overflow: overflow, result: result)
  }

  @inline(__always)
  private var carryIn: UInt32 { store.flags >> 8 & 1 }

  @inline(__always)
  func executeSized(_ op: FalconMicroOp) {
    let shift = UInt32(op.shift)
    let x = store[op.a] &<< shift
    switch op.operation {
    case .add: addition(op, x, second(op) &<< shift, 0)
    case .adc: addition(op, x, second(op) &<< shift, carryIn &<< shift)
    case .sub: subtraction(op, x, second(op) &<< shift, 0)
    case .sbb: subtraction(op, x, second(op) &<< shift, carryIn &<< shift)
    case .cmpu, .cmps, .cmp: compare(op, x, second(op) &<< shift)
    case .mov: write(op, x)
    case .clear: write(op, 0)
    case .setf: setFlags(overflow: false, result: x)
    case .not, .neg, .hswap: unary(op, x)
    default: shifts(op, x)
    }
  }

  @inline(__always)
  private func addition(_ op: FalconMicroOp, _ x: UInt32, _ y: UInt32, _ carry: UInt32) {
    let (sum, first) = x.addingReportingOverflow(y)
    let (result, second) = sum.addingReportingOverflow(carry)
    write(op, result)
    let overflow = (x ^ result) & (y ^ result)
    setFlags(carry: first || second, overflow: overflow >> 31 == 1, result: result)
  }

  @inline(__always)
  private func subtraction(_ op: FalconMicroOp, _ x: UInt32, _ y: UInt32, _ borrow: UInt32) {
    let (difference, first) = x.subtractingReportingOverflow(y)
    let (result, second) = difference.subtractingReportingOverflow(borrow)
    write(op, result)
    let overflow = (x ^ y) & (x ^ result)
    setFlags(carry: first || second, overflow: overflow >> 31 == 1, result: result)
  }

  /// `cmp` sets all flags as `sub` does; `cmpu` sets carry and zero; `cmps` sets zero, and carry to
  /// "less" of the signed comparison.
  @inline(__always)
  private func compare(_ op: FalconMicroOp, _ x: UInt32, _ y: UInt32) {
    let result = x &- y
    if op.operation == .cmp {
      let overflow = (x ^ y) & (x ^ result)
      setFlags(carry: x < y, overflow: overflow >> 31 == 1, result: result)
      return
    }
    let less = op.operation == .cmpu ? x < y : Int32(bitPattern: x) < Int32(bitPattern: y)
    store.flags =
      store.flags & ~(FalconFlag.carry | FalconFlag.zero)
      | (less ? FalconFlag.carry : 0) | (x == y ? FalconFlag.zero : 0)
  }

  private func unary(_ op: FalconMicroOp, _ x: UInt32) {
    let shift = UInt32(op.shift)
    let result: UInt32
    switch op.operation {
    case .not: result = ~x & (UInt32.max &<< shift)
    case .neg: result = 0 &- x
    default:
      let half = (32 - shift) / 2
      let low = x &>> shift
      result = (low &>> half | low &<< half) &<< shift
    }
    write(op, result)
    setFlags(overflow: op.operation == .neg && result == 1 << 31, result: result)
  }

  /// Shifts; the count is taken modulo the operand's bits, and carry is the last bit shifted out.
  @inline(__always)
  private func shifts(_ op: FalconMicroOp, _ x: UInt32) {
    let shift = UInt32(op.shift)
    let bits = 32 - shift
    let count = second(op) & (bits - 1)
    let low = x &>> shift
    var result: UInt32
    let carry: Bool
    if op.operation == .shl || op.operation == .shlc {
      result = x &<< count
      if op.operation == .shlc, count != 0 { result |= carryIn &<< (count - 1 + shift) }
      carry = count != 0 && x &>> (32 - count) & 1 == 1
    } else {
      result = low &>> count
      if op.operation == .shrc, count != 0 { result |= carryIn &<< (bits - count) }
      if op.operation == .sar {
        result = UInt32(bitPattern: (Int32(bitPattern: x) &>> Int32(shift)) &>> Int32(count))
      }
      result = result &<< shift
      carry = count != 0 && low &>> (count - 1) & 1 == 1
    }
    write(op, result)
    setFlags(carry: carry, overflow: false, result: result)
  }
}
