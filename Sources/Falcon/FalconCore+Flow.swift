// Data memory, the stack, branches.
// SOURCE: envytools docs/hw/falcon/data.rst and branch.rst.
extension FalconCore {
  @inline(__always)
  func executeFlow(_ op: FalconMicroOp, at pc: UInt32) {
    switch op.operation {
    case .ld:
      let address = effectiveAddress(op)
      if isPlain(address, op.shift) {
        switch op.shift {
        case 2: store[op.d] = store.data32(address)
        case 1: store[op.d] = store[op.d] & 0xffff_0000 | store.data16(address)
        default: store[op.d] = store[op.d] & 0xffff_ff00 | store.data8(address)
        }
      } else {
        loadOddly(op, address, pc)
      }
    case .st:
      let address = effectiveAddress(op)
      if isPlain(address, op.shift) {
        switch op.shift {
        case 2: store.setData32(store[op.d], at: address)
        case 1: store.setData16(store[op.d], at: address)
        default: store.setData8(store[op.d], at: address)
        }
      } else {
        storeOddly(op, address, pc)
      }
    case .bra:
      if condition(op.d) {
        store.pc = op.imm
        store.cycle &+= 3 &+ secondWordCycle()
      }
    case .push: pushWord(store[op.b])
    case .pop:
      store[op.d] = store.data32(store.stackPointer)
      store.stackPointer = store.stackPointer &+ 4
    case .call:
      pushWord(store.pc)
      store.pc = second(op)
      store.cycle &+= secondWordCycle()
    case .ret:
      store.pc = store.data32(store.stackPointer)
      store.stackPointer = store.stackPointer &+ 4
      store.cycle &+= secondWordCycle()
    case .jmp:
      store.pc = second(op)
      store.cycle &+= secondWordCycle()
    default: store.stackPointer = store.stackPointer &+ second(op)
    }
  }

  @inline(__always)
  func pushWord(_ value: UInt32) {
    store.stackPointer = store.stackPointer &- 4
    store.setData32(value, at: store.stackPointer)
  }

  @inline(__always)
  private func effectiveAddress(_ op: FalconMicroOp) -> UInt32 {
    let index =
      op.b == FalconMicroOp.Slot.immediate ? op.imm : store[op.b] &<< UInt32(op.shift)
    return store[op.a] &+ index
  }

  /// Whether an access is aligned and inside data memory.
  @inline(__always)
  private func isPlain(_ address: UInt32, _ sizeLog2: UInt8) -> Bool {
    address < store.dataBytes && address & ((1 &<< UInt32(sizeLog2)) &- 1) == 0
  }

  /// The cycle that a target takes more when it does not lie in one aligned word of code.
  @inline(__always)
  private func secondWordCycle() -> UInt64 {
    let target = store.pc
    let length = UInt32(store.microOp(at: target).length)
    // A target that never ran has no prepared form; its length is looked up then.
    let bytes = length == 0 ? UInt32(instruction(at: target)?.length ?? 0) : length
    return target & 3 &+ bytes > 4 ? 1 : 0
  }

  /// Whether the branch condition with this code holds.
  @inline(__always)
  private func condition(_ code: UInt8) -> Bool {
    let flags = store.flags
    // Codes 00-0b and 10-1b test one flag for set and clear; 0c-0e and 1c-1f combine flags.
    if code & 0xf < 0xc {
      return (flags &>> UInt32(code & 0xf)) & 1 == UInt32(code >> 4 ^ 1)
    }
    let carry = flags & FalconFlag.carry != 0
    let zero = flags & FalconFlag.zero != 0
    let less = (flags >> 9 ^ flags >> 10) & 1 == 1
    switch code {
    case 0x0c: return !carry && !zero
    case 0x0d: return carry || zero
    case 0x0e: return true
    case 0x1c: return !less && !zero
    case 0x1d: return less || zero
    case 0x1e: return less
    default: return !less
    }
  }

  private func loadOddly(_ op: FalconMicroOp, _ address: UInt32, _ pc: UInt32) {
    let mask: UInt32 = op.shift == 2 ? 0 : op.shift == 1 ? 0xffff_0000 : 0xffff_ff00
    guard address < store.dataBytes else {
      report(.dataOutOfRange(address: address, pc: pc))
      store[op.d] &= mask
      return
    }
    report(.dataMisaligned(address: address, pc: pc))
    let value = op.shift == 2 ? store.data32(address) : store.data16(address)
    store[op.d] = store[op.d] & mask | value
  }

  /// A misaligned store writes the whole aligned unit: the bytes that fit, shifted into place, and
  /// zeros below them.
  private func storeOddly(_ op: FalconMicroOp, _ address: UInt32, _ pc: UInt32) {
    guard address < store.dataBytes else {
      report(.dataOutOfRange(address: address, pc: pc))
      return
    }
    report(.dataMisaligned(address: address, pc: pc))
    let value = store[op.d]
    if op.shift == 2 {
      let fitting = address & 1 == 1 ? value & 0xff : value & 0xffff
      store.setData32(fitting &<< ((address & 3) * 8), at: address)
    } else {
      store.setData16((value & 0xff) &<< 8, at: address)
    }
  }
}
