import Base
import Testing

@testable import Falcon

/// What an operation leaves behind: the destination's low bits and the flags c, o, s, z.
private struct Outcome: Equatable {
  var value: UInt32
  var flags: UInt32
}

/// Sized operations by their definition, on integers that are wide enough for no wrap to happen.
private enum Oracle {
  static func flags(c: Bool, o: Bool, _ value: Int64, _ bits: Int64) -> UInt32 {
    let sign = value >> (bits - 1) & 1 == 1
    return (c ? 0x100 : 0) | (o ? 0x200 : 0) | (sign ? 0x400 : 0) | (value == 0 ? 0x800 : 0)
  }

  static func signed(_ value: Int64, _ bits: Int64) -> Int64 {
    value >> (bits - 1) & 1 == 1 ? value - (1 << bits) : value
  }

  static func result(
    _ name: String, _ x: Int64, _ y: Int64, carry: Int64, bits: Int64
  ) -> Outcome {
    let modulus = Int64(1) << bits
    let limit = modulus / 2
    let a = signed(x, bits)
    let b = signed(y, bits)
    let count = y & (bits - 1)
    var full: Int64
    var c = false
    var o = false
    switch name {
    case "add", "adc":
      let extra = name == "adc" ? carry : 0
      full = x + y + extra
      c = full >= modulus
      o = !(-limit..<limit ~= a + b + extra)
    case "sub", "sbb":
      let extra = name == "sbb" ? carry : 0
      full = x - y - extra
      c = full < 0
      o = !(-limit..<limit ~= a - b - extra)
    case "shl", "shlc":
      full = x << count | (name == "shlc" && count > 0 ? carry << (count - 1) : 0)
      c = count > 0 && x >> (bits - count) & 1 == 1
    case "shr", "shrc":
      full = x >> count | (name == "shrc" && count > 0 ? carry << (bits - count) : 0)
      c = count > 0 && x >> (count - 1) & 1 == 1
    default:
      full = a >> count
      c = count > 0 && x >> (count - 1) & 1 == 1
    }
    full &= modulus - 1
    return Outcome(value: UInt32(full), flags: flags(c: c, o: o, full, bits))
  }
}

private let interesting: [UInt32] = [
  0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff,
  0x8000_0000, 0xffff_ffff, 0x1234_5678,
]

@Test(arguments: ["add", "adc", "sub", "sbb", "shl", "shr", "sar", "shlc", "shrc"])
func sizedArithmetic_matchesItsDefinition(name: String) throws {
  for size in FalconSize.allCases {
    let harness = try CoreHarness(
      """
      clear b32 r0
      ld b32 r1 D[r0 + 0]
      ld b32 r2 D[r0 + 4]
      ld b32 r3 D[r0 + 8]
      mov flags r3
      \(name) \(size.name) r1 r2
      mov r4 flags
      exit
      """)
    let mask = UInt32.max >> (32 - size.bits)
    for x in interesting {
      for y in interesting {
        for carry in [UInt32(0), 1] {
          harness.setData([x, y, carry << 8 | 0x0e01])
          harness.run()
          let expected = Oracle.result(
            name, Int64(x & mask), Int64(y & mask), carry: Int64(carry), bits: Int64(size.bits))
          let where_ = "\(name) \(size.name) \(FalconNames.hex(x)) \(FalconNames.hex(y)) c=\(carry)"
          #expect(harness.register(1) & mask == expected.value, "\(where_)")
          #expect(harness.register(1) & ~mask == x & ~mask, "\(where_): upper bits changed")
          #expect(harness.register(4) == expected.flags | 1, "\(where_): flags")
        }
      }
    }
    #expect(harness.core.events.isEmpty)
  }
}

@Test func compares_setTheFlagsOfTheirKind() throws {
  for size in FalconSize.allCases {
    let harness = try CoreHarness(
      """
      clear b32 r0
      ld b32 r1 D[r0 + 0]
      ld b32 r2 D[r0 + 4]
      li r3 0x600
      mov flags r3
      cmpu \(size.name) r1 r2
      mov r4 flags
      mov flags r3
      cmps \(size.name) r1 r2
      mov r5 flags
      cmp \(size.name) r1 r2
      mov r6 flags
      exit
      """)
    let mask = UInt32.max >> (32 - size.bits)
    for x in interesting {
      for y in interesting {
        harness.setData([x, y])
        harness.run()
        let (a, b) = (x & mask, y & mask)
        let bits = Int64(size.bits)
        let zero: UInt32 = a == b ? 0x800 : 0
        let less = Oracle.signed(Int64(a), bits) < Oracle.signed(Int64(b), bits)
        let name = "\(size.name) \(FalconNames.hex(x)) \(FalconNames.hex(y))"
        #expect(harness.register(4) == 0x600 | zero | (a < b ? 0x100 : 0), "cmpu \(name)")
        #expect(harness.register(5) == 0x600 | zero | (less ? 0x100 : 0), "cmps \(name)")
        let full = Oracle.result("sub", Int64(a), Int64(b), carry: 0, bits: bits)
        #expect(harness.register(6) == full.flags, "cmp \(name)")
      }
    }
  }
}

@Test func unaries_changeTheLowBitsAndTheirFlags() throws {
  let harness = try CoreHarness(
    """
    li r1 0x12345680
    neg b8 r2 r1            // 0x80: overflow, sign
    mov r3 flags
    not b16 r4 r1
    hswap b32 r5 r1
    hswap b8 r6 r1
    hswap b16 r7 r1
    li r8 0xffffffff
    clear b16 r8
    mov r9 flags            // clear leaves flags alone
    setf b8 r8
    mov r10 flags
    li r11 0xffffffff
    mov b8 r11 r1
    exit
    """)
  harness.run()
  #expect(harness.register(2) == 0x80)
  #expect(harness.register(3) & 0xe00 == 0x600)
  #expect(harness.register(4) == 0xa97f)
  #expect(harness.register(5) == 0x5680_1234)
  #expect(harness.register(6) == 0x08)
  #expect(harness.register(7) == 0x8056)
  #expect(harness.register(8) == 0xffff_0000)
  #expect(harness.register(9) & 0xe00 == 0x400)
  #expect(harness.register(10) & 0xe00 == 0x800)
  #expect(harness.register(11) == 0xffff_ff80)
}

@Test func wholeRegisterOperations_matchTheManual() throws {
  let harness = try CoreHarness(
    """
    li r1 0xfffe8003
    mulu r2 r1 5            // low halves: 0x8003 * 5
    muls r3 r1 -2           // -32765 * -2
    sext r4 r1 15
    extr r5 r1 12..19
    extrs r6 r1 12..19
    li r7 0x11111111
    ins r7 r1 4..11         // low 8 bits of r1 into bits 11:4
    div r8 r1 0x1000
    mod r9 r1 0x1000
    clear b32 r10
    div r11 r1 r10
    mod r12 r1 r10
    li r13 0xffff
    sethi r13 0x1234
    xor r14 r1 r1
    mov r15 flags
    exit
    """)
  harness.run()
  #expect(harness.register(2) == 0x8003 * 5)
  #expect(harness.register(3) == 65530)
  #expect(harness.register(4) == 0xffff_8003)
  #expect(harness.register(5) == 0xe8)
  #expect(harness.register(6) == 0xffff_ffe8)
  #expect(harness.register(7) == 0x1111_1031)
  #expect(harness.register(8) == 0xfffe8)
  #expect(harness.register(9) == 3)
  #expect(harness.register(11) == 0xffff_ffff)
  #expect(harness.register(12) == 0xfffe_8003)
  #expect(harness.register(13) == 0x1234_ffff)
  #expect(harness.register(14) == 0)
  #expect(harness.register(15) & 0xf00 == 0x800)
}

@Test func bitOperations_reachRegistersAndFlags() throws {
  let harness = try CoreHarness(
    """
    clear b32 r1
    bset r1 31
    li r2 4
    bset r1 r2
    btgl r1 0
    bclr r1 31
    xbit r3 r1 4
    bset flags p3
    xbit r4 flags p3
    bclr flags p3
    xbit r5 flags p3
    setp p7 r3
    li r6 7
    xbit r7 flags r6
    btgl flags r6
    xbit r8 flags p7
    exit
    """)
  harness.run()
  #expect(harness.register(1) == 0x11)
  #expect([3, 4, 5, 7, 8].map { harness.register($0) } == [1, 1, 0, 1, 0])
}

@Test func everyBranchCondition_followsItsFlags() throws {
  for condition in FalconCondition.all where condition != .always {
    let harness = try CoreHarness(
      """
      clear b32 r0
      ld b32 r1 D[r0 + 0]
      clear b32 r2
      mov flags r1
      bra \(condition.name) taken
      exit
      taken:
      li r2 1
      exit
      """)
    for flags in stride(from: UInt32(0), to: 0x1000, by: 1) where flags & 0xff < 2 || flags < 256 {
      harness.setData([flags])
      harness.run()
      let (c, o) = (flags & 0x100 != 0, flags & 0x200 != 0)
      let (s, z) = (flags & 0x400 != 0, flags & 0x800 != 0)
      let holds: Bool
      switch condition.name {
      case "c": holds = c
      case "o": holds = o
      case "s": holds = s
      case "e": holds = z
      case "a": holds = !c && !z
      case "be": holds = c || z
      case "nc": holds = !c
      case "no": holds = !o
      case "ns": holds = !s
      case "ne": holds = !z
      case "g": holds = o == s && !z
      case "le": holds = o != s || z
      case "l": holds = o != s
      case "ge": holds = o == s
      default:
        let bit = flags >> UInt32(condition.code & 7) & 1 == 1
        holds = condition.name.hasPrefix("!") ? !bit : bit
      }
      #expect(harness.register(2) == (holds ? 1 : 0), "bra \(condition.name) flags \(flags)")
    }
  }
}
