package import Base
package import DeviceSeam
package import NVHardware

/// GF100's copy engines behind GP100's host: a profile of the emulated device, and no chip that was
/// ever made (docs/decisions/0007-fermi-copy-engine-behind-pascal-host.md).
package struct ChipGF100Copy: ChipProfile {
  package init() {}

  private static let pascal = ChipGP100()

  package var chipset: UInt32 { 0x13f }
  package var name: String { "GF100-PCOPY" }
  package var dmaBits: Int { Self.pascal.dmaBits }
  package var channelClass: UInt32 { Self.pascal.channelClass }
  package var copyMethods: any CopyMethods { CopyEngine90B5() }

  /// The microcode is GF100's.
  package static let microcode = FalconImage.Source(
    chipName: "gf100", chipset: 0x0c0, name: "pcopy")

  package func isPosted(_ registers: RegisterAccess) -> Bool { Self.pascal.isPosted(registers) }

  package func probeVRAM(_ registers: RegisterAccess) throws(KernelError) -> VRAMLayout {
    try Self.pascal.probeVRAM(registers)
  }

  package func initializeMemoryHub(_ registers: RegisterAccess, flushPage: DMAAddress) {
    Self.pascal.initializeMemoryHub(registers, flushPage: flushPage)
  }

  package func copyClass(of engine: TopologyEntry) -> UInt32 {
    engine.instance == 0 ? Class90B5.classID : Class90B5.secondClassID
  }

  package func contextLayout(of engine: TopologyEntry) -> EngineContextLayout? {
    guard engine.type == NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE else { return nil }
    return EngineContextLayout(
      byteCount: Class90B5.contextByteCount,
      pointer: Class90B5.contextPointer(engine.instance))
  }

  package func makeCopyEngine(
    _ device: NVKMDevice, _ entry: TopologyEntry, firmware: (any FirmwareStore)?
  ) -> CopyEngineUnit {
    FalconCopyEngine(device, entry, source: Self.microcode, firmware)
  }
}
