import NVHardware

/// The Pascal of the Tesla P100.
///
/// SOURCE: interrupt bits: open-gpu-doc pascal/gp100-msi-intr.txt; reset bits: RM gp100 dev_boot.h;
/// fault ids: RM gp100 dev_fault.h; number of copy engines: nouveau nvkm/engine/device/base.c.
/// Engine and runlist numbers of a real board are in no source: here runlist and engine n + 1 are
/// copy engine n's, and 0 is the graphics engine's.
public struct GP100: ChipProfile {
  public init() {}

  public var name: String { "GP100" }
  public var boot0: UInt32 { 0x1300_00a1 }
  /// Tesla P100 PCIe 16GB.
  public var pciDeviceID: UInt32 { 0x15f8 }
  public var pciClassCode: UInt32 { NV_XVE.REV_ID_CLASS_CODE_3D }
  /// SOURCE: none; NVIDIA's vendor id and an id of this model's own.
  public var pciSubsystem: UInt32 { 0x0001_10de }
  public var hostClass: UInt32 { ClassC06F.classID }
  public var copyClass: UInt32 { ClassC0B5.classID }
  public var channelCount: UInt32 { 4096 }
  public var partitionCount: UInt32 { 8 }
  /// SOURCE: none; what the board reports is up to its firmware.
  public var faultBufferEntries: UInt32 { 256 }
  public var engines: [ChipEngine] { Self.table }

  private static let table: [ChipEngine] = [
    ChipEngine(
      .graphics, engine: 0, runlist: 0, interrupt: 12, reset: 12,
      faultID: NV_PFAULT.MMU_ENG_ID_GRAPHICS, faultClient: NV_PFAULT.CLIENT_GPC_T1_0,
      priBase: 0x40_0000),
    copy(0, interrupt: 5, reset: 6, NV_PFAULT.MMU_ENG_ID_CE0, NV_PFAULT.CLIENT_HUB_CE0),
    copy(1, interrupt: 6, reset: 7, NV_PFAULT.MMU_ENG_ID_CE1, NV_PFAULT.CLIENT_HUB_CE1),
    copy(2, interrupt: 7, reset: 21, NV_PFAULT.MMU_ENG_ID_CE2, NV_PFAULT.CLIENT_HUB_CE2),
    copy(3, interrupt: 10, reset: 22, NV_PFAULT.MMU_ENG_ID_CE3, NV_PFAULT.CLIENT_HUB_HSCE0),
    copy(4, interrupt: 11, reset: 23, NV_PFAULT.MMU_ENG_ID_CE4, NV_PFAULT.CLIENT_HUB_HSCE0 + 1),
    copy(5, interrupt: 2, reset: 24, NV_PFAULT.MMU_ENG_ID_CE5, NV_PFAULT.CLIENT_HUB_HSCE0 + 2),
  ]

  private static func copy(
    _ instance: UInt32, interrupt: UInt32, reset: UInt32, _ faultID: UInt32, _ client: UInt32
  ) -> ChipEngine {
    ChipEngine(
      .copy(instance), engine: instance + 1, runlist: instance + 1, interrupt: interrupt,
      reset: reset, faultID: faultID, faultClient: client, priBase: 0x10_4000)
  }
}
