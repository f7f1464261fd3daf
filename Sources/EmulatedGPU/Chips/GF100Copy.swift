import NVHardware

/// A Fermi copy complex behind Pascal's host: GF100's PCOPY0 and PCOPY1, each a falcon that runs
/// the microcode which the driver uploads.
///
/// Not a chip that NVIDIA made, and so with an id of its own: everything but the copy engines is
/// GP100's (docs/decisions/0007-fermi-copy-engine-behind-pascal-host.md says why).
///
/// SOURCE: envytools docs/hw/fifo/pcopy.rst: register windows 0x104000 and 0x105000, PMC enable
/// bits 6 and 7, interrupt bits 5 and 6, MMU engine ids 0x15 and 0x16. Engine and runlist numbers
/// are this model's, as for GP100. Hub clients are GP100's of the copy engines in these places.
public struct GF100Copy: ChipProfile {
  public init() {}

  private static let pascal = GP100()

  public var name: String { "GF100-PCOPY" }
  /// A number in Pascal's family that belongs to no chip.
  public var boot0: UInt32 { 0x13f0_00a1 }
  /// SOURCE: none; an id that belongs to no board.
  public var pciDeviceID: UInt32 { 0xf0ce }
  public var pciClassCode: UInt32 { NV_XVE.REV_ID_CLASS_CODE_3D }
  public var pciSubsystem: UInt32 { 0x0002_10de }
  public var hostClass: UInt32 { Self.pascal.hostClass }
  public var copyClass: UInt32 { Class90B5.classID }
  public var channelCount: UInt32 { Self.pascal.channelCount }
  public var partitionCount: UInt32 { Self.pascal.partitionCount }
  public var faultBufferEntries: UInt32 { Self.pascal.faultBufferEntries }
  public var engines: [ChipEngine] { Self.table }

  private static let table: [ChipEngine] = [
    ChipEngine(
      .graphics, engine: 0, runlist: 0, interrupt: 12, reset: 12,
      faultID: NV_PFAULT.MMU_ENG_ID_GRAPHICS, faultClient: NV_PFAULT.CLIENT_GPC_T1_0,
      priBase: 0x40_0000),
    ChipEngine(
      .falconCopy(0), engine: 1, runlist: 1, interrupt: 5, reset: 6,
      faultID: NV_PFAULT.MMU_ENG_ID_CE0, faultClient: NV_PFAULT.CLIENT_HUB_CE0,
      priBase: 0x10_4000),
    ChipEngine(
      .falconCopy(1), engine: 2, runlist: 2, interrupt: 6, reset: 7,
      faultID: NV_PFAULT.MMU_ENG_ID_CE1, faultClient: NV_PFAULT.CLIENT_HUB_CE1,
      priBase: 0x10_5000),
  ]

  /// Bytes of an engine's register window.
  private static let window: UInt32 = 0x1000

  private func falcon(_ offset: UInt32, of gpu: EmulatedGPU) -> (FalconEngine, UInt32)? {
    for engine in gpu.falcons
    where (engine.info.priBase..<engine.info.priBase + Self.window).contains(offset) {
      return (engine, offset - engine.info.priBase)
    }
    return nil
  }

  public func read(_ offset: UInt32, of gpu: EmulatedGPU) -> UInt32? {
    if let (engine, register) = falcon(offset, of: gpu) { return engine.read(register) }
    return Self.pascal.read(offset, of: gpu)
  }

  public func write(_ value: UInt32, to offset: UInt32, of gpu: EmulatedGPU) -> Bool {
    if let (engine, register) = falcon(offset, of: gpu) {
      engine.write(value, register)
      return true
    }
    return Self.pascal.write(value, to: offset, of: gpu)
  }
}
