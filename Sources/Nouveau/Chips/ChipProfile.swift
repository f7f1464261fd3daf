package import Base
package import DeviceSeam
package import NVHardware

/// What differs between chips, one conforming type a file.
package protocol ChipProfile: Sendable {
  /// BOOT_0 bits 28:20, such as 0x130.
  var chipset: UInt32 { get }
  /// As nouveau prints it, such as `GP100`.
  var name: String { get }
  /// Bits of a bus address (`nvkm_mmu_func.dma_bits`).
  var dmaBits: Int { get }
  /// The class of its channels.
  var channelClass: UInt32 { get }
  /// Its copy engine's methods.
  var copyMethods: any CopyMethods { get }
  /// Whether firmware has set the board up; else it can't be used here.
  func isPosted(_ registers: RegisterAccess) -> Bool
  /// Adds up the memory partitions.
  func probeVRAM(_ registers: RegisterAccess) throws(KernelError) -> VRAMLayout
  /// Sets up the memory hub before anything uses memory.
  func initializeMemoryHub(_ registers: RegisterAccess, flushPage: DMAAddress)
  /// The class of a copy engine's objects.
  func copyClass(of engine: TopologyEntry) -> UInt32
  /// What an engine wants of each channel; nil when the host keeps its state.
  func contextLayout(of engine: TopologyEntry) -> EngineContextLayout?
  /// The unit that looks after a copy engine.
  func makeCopyEngine(
    _ device: NVKMDevice, _ entry: TopologyEntry, firmware: (any FirmwareStore)?
  ) -> CopyEngineUnit
}

// What all chips with copy engines of fixed functions have in common.
extension ChipProfile {
  package func copyClass(of engine: TopologyEntry) -> UInt32 { copyMethods.classID }
  package func contextLayout(of engine: TopologyEntry) -> EngineContextLayout? { nil }
  package func makeCopyEngine(
    _ device: NVKMDevice, _ entry: TopologyEntry, firmware: (any FirmwareStore)?
  ) -> CopyEngineUnit {
    CopyEngineUnit(device, entry)
  }
}

/// The chips that the driver knows.
///
/// Kernel: nv130_chipset … (nvkm/engine/device/base.c)
package enum ChipTable {
  package static let chips: [any ChipProfile] = [ChipGP100(), ChipGF100Copy()]

  /// The chip with this number; `ENODEV` ("unknown chipset") when the driver has none.
  package static func chip(_ chipset: UInt32) throws(KernelError) -> any ChipProfile {
    for chip in chips where chip.chipset == chipset { return chip }
    throw .ENODEV
  }
}
