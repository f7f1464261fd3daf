import Base
import EmulatedGPU
import Falcon
import KernelRuntime
import NVHardware
import Testing

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

  @Test func microcode_movesBytesThroughTheChannelsTranslations() throws {
    let falcon = try FalconRig()
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
}
