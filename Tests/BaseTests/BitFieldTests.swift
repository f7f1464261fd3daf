import Base
import Testing

@Suite struct BitFieldTests {
  @Test func getAndMake_areInverse() {
    let field = BitField(11, 4)
    #expect(field.width == 8)
    #expect(field.mask == 0xff0)
    #expect(field.maximum == 0xff)
    for value: UInt64 in [0, 1, 0x7f, 0xff] { #expect(field.get(field.make(value)) == value) }
  }

  @Test func set_leavesOtherBitsAlone() {
    let field = BitField(7, 4)
    #expect(field.set(UInt64(0xffff), to: 0x3) == 0xff3f)
    #expect(field.set(UInt32(0xffff), to: 0x0) == 0xff0f)
    #expect(field.get(UInt32(0xabcd)) == 0xc)
    #expect(BitField(bit: 31).make32(1) == 0x8000_0000)
  }

  @Test func fullWidth_hasNoHole() {
    #expect(BitField(63, 0).mask == .max)
    #expect(BitField(63, 0).maximum == .max)
    #expect(BitField(63, 63).mask == 1 << 63)
  }

  @Test func valueTooLarge_traps() async {
    await #expect(processExitsWith: .failure) { _ = BitField(3, 0).make(16) }
  }

  @Test func reversedEnds_trap() async {
    await #expect(processExitsWith: .failure) { _ = BitField(3, 4) }
  }
}
