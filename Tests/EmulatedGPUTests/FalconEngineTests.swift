import Base
import EmulatedGPU
import Falcon
import KernelRuntime
import NVHardware
import Testing

/// A copy engine that runs microcode, behind the host.
@Suite struct FalconEngineTests {
  private static let source = Rig.data
  private static let target = Rig.data + 0x10_0000

  @Test func identity_isOfItsOwn() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    #expect(rig.read(NV_PMC.BOOT_0) == 0x13f0_00a1)
    #expect(rig.gpu.chipName == "GF100-PCOPY")
    // Two engines of the types that came before logical copy engines.
    let types = (0..<9).map { rig.read(NV_PTOP.DEVICE_INFO(UInt32($0))) }
      .filter { $0 & 3 == 3 }.map { NV_PTOP.DEVICE_INFO_TYPE_ENUM.get($0) }
    #expect(types == [0, 1, 2])
    #expect(falcon.read(.caps) == 0x12 | 8 << 9 | 0x10 << 18 | 8 << 26)
    #expect(falcon.read(.caps, engine: 1) == falcon.read(.caps))
    #expect(rig.gpu.unimplemented == [])
  }

  @Test(arguments: [GPUCostModel(), .zero])
  func microcode_movesBytesThroughTheChannelsTranslations(_ cost: GPUCostModel) throws {
    let falcon = try FalconRig(cost: cost)
    let rig = falcon.rig
    let channel = try falcon.ready()
    let bytes = rig.fill(Self.source, 3 * 4096 + 100, seed: 1)
    channel.falconCopy(Self.source, Self.target, lineBytes: 4096, lines: 3)
    channel.falconCopy(Self.source + 0x3000, Self.target + 0x3000, lineBytes: 100)
    channel.fence(7)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 7)
    #expect(rig.bytes(Self.target, bytes.count) == bytes)
    #expect(rig.gpu.launchesCompleted == 2)
    #expect(rig.gpu.bytesCopied == UInt64(bytes.count))
    #expect(rig.gpu.audit() == [])
  }

  @Test func copies_takeTheirTime() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let channel = try falcon.ready()
    let start = rig.kernel.now
    channel.falconCopy(Self.source, Self.target, lineBytes: 4096, lines: 256)
    channel.fence(1)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 1)
    // 1 MiB at 16 bytes in 2 ns.
    let bytes: UInt64 = 1 << 20
    let least = bytes / 16 * GPUCostModel().falconCycle
    #expect(rig.kernel.now - start >= least)
    #expect(rig.kernel.now - start < 2 * least)
  }

  @Test func aQuery_tellsOfTheCopiesBeforeIt() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let channel = try falcon.ready()
    let query = Rig.data + 0x20_0000
    channel.push(
      4, Class90B5.QUERY_ADDRESS_HIGH,
      [UInt32(query >> 32), UInt32(truncatingIfNeeded: query), 0xfeed])
    channel.falconCopy(Self.source, Self.target, lineBytes: 64, exec: 0x1110)
    try channel.kick()
    #expect(rig.word(query) == 0xfeed)
    let time = UInt64(rig.word(query + 12)) << 32 | UInt64(rig.word(query + 8))
    #expect(time > 0 && time <= rig.gpu.timestamp)
  }

  @Test func channels_takeTurnsAndKeepTheirState() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let image = try FalconRig.microcode()
    try falcon.start(image.code, image.data)
    let channels = try falcon.channels([1, 2])
    let bytes = rig.fill(Self.source, 8192, seed: 3)
    // Each sets everything but EXEC; the other's methods come in between.
    for (index, channel) in channels.enumerated() {
      let offset = UInt64(index) * 4096
      channel.push(
        4, Class90B5.SRC_ADDRESS_HIGH,
        [
          0, UInt32(Self.source + offset), 0, UInt32(Self.target + offset), 4096, 4096, 4096, 1,
        ])
      try channel.kick()
    }
    for channel in channels {
      channel.push(4, Class90B5.EXEC, [0x110])
      try channel.kick()
    }
    #expect(rig.bytes(Self.target, 8192) == bytes)
    #expect(rig.gpu.audit() == [])
  }

  @Test func theSecondEngine_runsMicrocodeOfItsOwn() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let image = try FalconRig.microcode()
    try falcon.start(image.code, image.data, engine: 1)
    let channel = try #require(try falcon.channels([3], engine: 1).first)
    let bytes = rig.fill(Self.source, 512, seed: 4)
    channel.falconCopy(Self.source, Self.target, lineBytes: 512)
    try channel.kick()
    #expect(rig.bytes(Self.target, 512) == bytes)
    #expect(falcon.read(.control) == 1 << 4, "the first engine was never started")
  }

  @Test func anIllegalMethod_interruptsAndWaitsForTheDriver() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let channel = try falcon.ready()
    channel.push(4, 0x800, [0x1234])
    channel.fence(9)
    rig.interrupts = []
    channel.ring()
    try rig.settle()
    #expect(falcon.read(.interrupts) & FalconLine.software0 != 0)
    #expect(rig.read(NV_PMC.INTR(0)) & 1 << 5 != 0)
    let word = falcon.read(.scratch0)
    #expect(PCOPYDispatch.CODE.get(word) == 1)
    #expect(PCOPYDispatch.METHOD.get(word) << 2 == 0x800)
    #expect(PCOPYDispatch.SUBCHANNEL.get(word) == 4)
    #expect(falcon.read(.scratch1) == 0x1234)
    #expect(rig.word(Rig.semaphore) == 0)
    falcon.write(FalconLine.software0, .interruptClear)
    rig.unmask()
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 9)
    #expect(rig.read(NV_PMC.INTR(0)) & 1 << 5 == 0)
  }

  @Test func anUnmappedAddress_isAnMMUFaultAndAResetHelps() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let channel = try falcon.ready()
    channel.falconCopy(0x40_0000_0000 >> 2, Self.target, lineBytes: 64)
    channel.fence(3)
    try channel.kick()
    let unit = NV_PFAULT.MMU_ENG_ID_CE0
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << unit)
    #expect(
      rig.read(NV_PFIFO.INTR_MMU_FAULT_INST(unit)) == UInt32(channel.instance >> 12))
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(!rig.gpu.isIdle)
    rig.write(NV_PMC.ENABLE, ~(1 << 6))
    rig.write(NV_PMC.ENABLE, ~0)
    #expect(falcon.read(.control) == 1 << 4)
    rig.write(NV_PFIFO.INTR_MMU_FAULT_ID, ~0)
    #expect(rig.gpu.audit() == [])
  }

  @Test func aPreemption_savesTheChannelsState() throws {
    let falcon = try FalconRig()
    let rig = falcon.rig
    let channel = try falcon.ready()
    channel.push(4, Class90B5.SWZ_CONST0, [0xabcd])
    try channel.kick()
    #expect(falcon.read(.channelCurrent) == 1 << 30 | UInt32(channel.instance >> 12))
    rig.write(NV_PFIFO.PREEMPT, 1 << 24 | channel.id)
    try rig.settle()
    #expect(rig.read(NV_PFIFO.PREEMPT) & 1 << 20 == 0)
    #expect(falcon.read(.channelCurrent) & 1 << 30 == 0)
    let context = FalconRig.context + UInt64(channel.id) * 0x1000
    let saved = rig.bytes(context, Class90B5.contextByteCount)
    #expect(saved.firstRange(of: [0xcd, 0xab, 0, 0] as [UInt8]) != nil)
  }

  @Test func whatTheFalconLacks_isNamed() throws {
    let falcon = try FalconRig()
    #expect(falcon.rig.read(FalconRig.window + 0x240) == 0)
    #expect(falcon.rig.gpu.unimplemented.count == 1)
    #expect("\(falcon.rig.gpu.unimplemented)".contains("a read of 0x240"))
  }

  @Test func microcodeThatSpins_costsNoBillions() throws {
    let falcon = try FalconRig()
    let program = try FalconAssembler.assemble("loop: bra loop\n")
    falcon.write(0x0100_0000, .codeIndex)
    falcon.write(0, .codeTag)
    for _ in 0..<64 {
      falcon.write(
        UInt32(program.code[0]) | UInt32(program.code[1]) << 8 | UInt32(program.code[2]) << 16,
        .codeData)
    }
    falcon.write(2, .control)
    _ = falcon.rig.kernel.after(10_000_000_000, "ten seconds") {}
    try falcon.rig.settle()
    #expect(falcon.rig.kernel.now >= 10_000_000_000)
    #expect(falcon.read(.control) == 0)
  }
}
