import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

@Suite struct ChannelTests {
  @Test func fence_writesPayloadAndTimeThenInterrupts() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.interrupts = []
    channel.fence(42)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 42)
    #expect(rig.word(Rig.semaphore + 4) == 0)
    let time = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 8)
    #expect(time > 0 && time <= rig.gpu.timestamp && time % 32 == 0)
    #expect(rig.interrupts.map(\.0) == [1 << 8])
    #expect(channel.userd(NV_RAMUSERD.GP_GET) == 2)
    #expect(rig.gpu.isIdle)
    #expect(rig.gpu.audit().isEmpty)
  }

  @Test func getPointers_followThePushBuffer() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw([0, 0, 0])
    try channel.kick()
    #expect(channel.userd(NV_RAMUSERD.GET) == UInt32(channel.pushBuffer) + 8 + 12)
    #expect(channel.userd(NV_RAMUSERD.GET_HI) == 0)
  }

  @Test func everyHeaderKind_reachesItsMethods() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let address = UInt32(Rig.semaphore)
    let release: UInt32 = 1 << 24 | 2
    // Incrementing.
    channel.raw([MethodHeader.incrementing(0, 0x10, count: 4).word, 0, address, 1, release])
    // Non-incrementing: the last payload counts; then an immediate triggers nothing (NOP).
    channel.raw([MethodHeader.nonIncrementing(0, 0x18, count: 3).word, 7, 8, 9])
    channel.raw([MethodHeader.immediate(0, 0x08, 0x1fff).word])
    channel.raw([MethodHeader.incrementing(0, 0x14, count: 1).word, address + 4])
    channel.raw([MethodHeader.incrementing(0, 0x1c, count: 1).word, release])
    // One increment: the first to C, the others to D.
    channel.raw([MethodHeader.incrementing(0, 0x14, count: 1).word, address + 8])
    channel.raw([MethodHeader.oneIncrement(0, 0x18, count: 3).word, 5, release, release])
    // The old forms: count in 28:18, byte address in 12:2.
    channel.raw([4 << 18 | 0x10, 0, address + 12, 6, release])
    channel.raw([2 << 29 | 2 << 18 | 0x18, 10, 11])
    channel.raw([1 << 18 | 0x14, address + 16, 1 << 18 | 0x1c, release])
    // Count 0 and the zero word do nothing.
    channel.raw([MethodHeader.incrementing(0, 0x10, count: 0).word, 0])
    try channel.kick()
    #expect((0..<5).map { rig.word(Rig.semaphore + 4 * $0) } == [1, 9, 5, 6, 11])
    #expect(rig.gpu.audit().isEmpty)
  }

  @Test func endOfSegment_skipsTheRest() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw([7 << 29])
    channel.fence(5)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
  }

  @Test func method_mayGoOnInTheNextSegment() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw([MethodHeader.incrementing(0, 0x10, count: 4).word, 0])
    try channel.kick()
    channel.raw([UInt32(Rig.semaphore), 3, 2])
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 3)
  }

  @Test func subdeviceMask_skipsMethods() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw([0x0001_0000 | 2 << 4])
    channel.fence(5)
    channel.raw([0x0001_0000 | 1 << 4])
    channel.fence(6, at: Rig.semaphore + 16)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(rig.word(Rig.semaphore + 16) == 6)
  }

  @Test func setReference_isWrittenBack() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.push(0, ClassC06F.SET_REFERENCE, [0x1234])
    channel.push(0, ClassC06F.WFI, [0])
    channel.push(0, ClassC06F.YIELD, [2])
    try channel.kick()
    #expect(channel.userd(NV_RAMUSERD.REF) == 0x1234)
  }

  struct BadWord: Sendable, CustomStringConvertible {
    let description: String
    let words: [UInt32]
    let bit: Int
  }

  @Test(arguments: [
    BadWord(description: "reserved operation", words: [6 << 29], bit: 18),
    BadWord(
      description: "reserved bit",
      words: [MethodHeader.incrementing(0, 8, count: 1).word | 1 << 12],
      bit: 18),
    BadWord(
      description: "past the last method", words: [1 << 29 | 2 << 16 | 0xfff], bit: 18),
    BadWord(description: "ILLEGAL", words: [MethodHeader.immediate(0, 4, 0).word], bit: 21),
    BadWord(
      description: "unknown host method",
      words: [MethodHeader.immediate(0, 0xf0, 0).word], bit: 21),
    BadWord(
      description: "SYNCPOINT", words: [MethodHeader.immediate(0, 0x74, 0).word], bit: 21),
    BadWord(description: "bad YIELD", words: [MethodHeader.immediate(0, 0x80, 9).word], bit: 21),
    BadWord(
      description: "bad semaphore operation", words: [MethodHeader.immediate(0, 0x1c, 3).word],
      bit: 25),
    BadWord(
      description: "misaligned semaphore",
      words: [MethodHeader.incrementing(0, 0x10, count: 4).word, 0, 4, 0, 2], bit: 25),
    BadWord(
      description: "software method", words: [MethodHeader.immediate(5, 0x104, 7).word], bit: 23),
  ])
  func badWord_stopsThePBDMAUntilAcknowledged(_ bad: BadWord) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw(bad.words)
    channel.fence(9)
    try channel.kick()
    let pbdma = channel.pbdma
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_0) == 1 << UInt32(bad.bit), "\(bad)")
    #expect(rig.read(NV_PFIFO.INTR_PBDMA_ID) == 1 << channel.runlist)
    #expect(rig.read(NV_PFIFO.INTR_0) & 1 << 29 != 0)
    #expect(NV_PPBDMA.CHANNEL_CHID.get(rig.read(pbdma + NV_PPBDMA.CHANNEL)) == channel.id)
    #expect(rig.word(Rig.semaphore) == 0, "\(bad): nothing after it runs")
    if bad.bit == 18 {
      #expect(rig.read(pbdma + NV_PPBDMA.HDR_SHADOW) == bad.words[0])
    } else {
      let method = rig.read(pbdma + NV_PPBDMA.METHOD0)
      #expect(method >> 31 == 1)
      #expect(NV_PPBDMA.METHOD0_SUBCH.get(method) == MethodHeader(word: bad.words[0]).subchannel)
    }
    // As nouveau: the method becomes a NOP, and the interrupt is acknowledged.
    rig.write(pbdma + NV_PPBDMA.METHOD0, NV_PPBDMA.METHOD0_NOP)
    rig.write(pbdma + NV_PPBDMA.INTR_0, 1 << UInt32(bad.bit))
    try rig.settle()
    #expect(rig.read(NV_PFIFO.INTR_PBDMA_ID) == 0)
    #expect(rig.word(Rig.semaphore) == 9, "\(bad): the channel goes on")
  }

  @Test func methodThatIsNotReplaced_isRefusedAgain() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.raw([MethodHeader.immediate(0, 4, 0).word])
    try channel.kick()
    rig.write(channel.pbdma + NV_PPBDMA.INTR_0, ~0)
    try rig.settle()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 1 << 21)
  }

  @Test func illegalGPFIFOEntry_isShownAndDiscarded() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bad = GPFIFOEntry(word0: 0x1234, word1: GPFIFOEntry.GP_ENTRY1_OPCODE_ILLEGAL)
    try channel.kick(bad)
    let pbdma = channel.pbdma
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_0) == 1 << 15)
    #expect(rig.read(pbdma + NV_PPBDMA.GP_SHADOW_0) == 0x1234)
    #expect(rig.read(pbdma + NV_PPBDMA.GP_SHADOW_1) == 1)
    rig.write(pbdma + NV_PPBDMA.INTR_0, ~0)
    channel.fence(1)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 1)
    try channel.kick(GPFIFOEntry(word0: 0, word1: GPFIFOEntry.GP_ENTRY1_OPCODE_NOP))
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_0) == 0)
  }

  @Test func putBeyondTheRing_isAnError() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.doorbell(64)
    try rig.settle()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 1 << 14)
  }

  @Test func wrongSignature_isAnError() throws {
    let rig = try Rig()
    let channel = try rig.channel(signature: 0xbeef)
    try rig.list([channel])
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 1 << 31)
    #expect(rig.read(channel.pbdma + NV_PPBDMA.CHANNEL) == channel.id)
  }

  @Test func wrongClassAndMethod_areErrorsOfTheCopyEngine() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let pbdma = channel.pbdma
    channel.push(4, 0, [0xa0b5])
    try channel.kick()
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_1) == 1 << 4)
    rig.write(pbdma + NV_PPBDMA.INTR_1, ~0)
    channel.push(4, 0x0204, [1])
    try channel.kick()
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_1) == 1 << 3)
    #expect(rig.read(pbdma + NV_PPBDMA.HCE_DBG0) == 0x204)
    #expect(rig.read(pbdma + NV_PPBDMA.HCE_DBG1) == 1)
    rig.write(pbdma + NV_PPBDMA.INTR_1, ~0)
    channel.push(2, 0x300, [0])
    try channel.kick()
    #expect(rig.read(pbdma + NV_PPBDMA.INTR_1) == 1 << 4, "no object on that subchannel")
  }

  @Test func knownButMissingMethod_isAnEvent() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.push(4, ClassC0B5.PM_TRIGGER, [0])
    try channel.kick()
    #expect(rig.gpu.unimplemented.map(\.name) == ["NVC0B5_PM_TRIGGER"])
  }

  @Test func pushBufferThatIsNotMapped_faultsAsTheHost() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    try channel.kick(GPFIFOEntry(segment: GPUVirtualAddress(0x70_0000_0000), dwords: 4))
    let unit = NV_PFAULT.MMU_ENG_ID_HOST0 + channel.runlist
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << unit)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_HI(unit)) == 0x70)
    #expect(
      NV_PFIFO.INTR_MMU_FAULT_INST_PTR.get(rig.read(NV_PFIFO.INTR_MMU_FAULT_INST(unit)))
        == UInt32(channel.instance >> 12))
    #expect(NV_PCCSR.CHANNEL_ENG_FAULTED.get(rig.read(NV_PCCSR.CHANNEL(channel.id))) == 1)
  }
}
