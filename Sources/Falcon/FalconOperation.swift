/// What an instruction does, apart from how its operands are encoded.
///
/// One operation may have several encodings (register, 8-bit and 16-bit immediate forms); the rows
/// of ``FalconEncoding/table`` list them.
/// SOURCE: envytools docs/hw/falcon/isa.rst and envydis/falcon.c, version 3 of the instruction set.
public enum FalconOperation: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  // Arithmetic on 8, 16 or 32 bits.
  case add, adc, sub, sbb, shl, shr, sar, shlc, shrc
  case cmpu, cmps, cmp
  case not, neg, mov, hswap, clear, setf
  // Arithmetic on whole registers.
  case movImmediate, sethi, mulu, muls, sext, extr, extrs, ins, div, mod
  case and, or, xor, xbit, bset, bclr, btgl, setp
  // Data memory and flow.
  case ld, st, push, pop, addStack, bra, jmp, call, ret
  // The system side: what may wait, stop, or change which interrupt can be taken.
  case iord, iords, iowr, iowrs, xcld, xdld, xdst, xdwait, xdfence, xcwait
  case moveToSpecial, moveFromSpecial, ptlb, vtlb, itlb
  case iret, exit, sleep, trap
}

/// The part of the interpreter that runs an operation.
enum FalconGroup: UInt8, BitwiseCopyable {
  case sized
  case whole
  case flow
  case system
  /// The cache entry holds no instruction yet.
  case undecoded
}

extension FalconOperation {
  var group: FalconGroup {
    if rawValue < FalconOperation.movImmediate.rawValue { return .sized }
    if rawValue < FalconOperation.ld.rawValue { return .whole }
    if rawValue < FalconOperation.iord.rawValue { return .flow }
    return .system
  }
}

/// The width that a sized instruction works on; the two top bits of its first byte.
public enum FalconSize: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  case b8 = 0
  case b16 = 1
  case b32 = 2

  /// The number of bits.
  public var bits: UInt32 { 8 << UInt32(rawValue) }
  /// The number of bytes.
  public var bytes: UInt32 { 1 << UInt32(rawValue) }
  /// The name in assembly text.
  public var name: String { "b\(bits)" }
}
