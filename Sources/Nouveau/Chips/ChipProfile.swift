package import Base

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
}

/// The chips that the driver knows.
///
/// Kernel: nv130_chipset … (nvkm/engine/device/base.c)
package enum ChipTable {
  package static let chips: [any ChipProfile] = [ChipGP100()]

  /// The chip with this number; `ENODEV` ("unknown chipset") when the driver has none.
  package static func chip(_ chipset: UInt32) throws(KernelError) -> any ChipProfile {
    for chip in chips where chip.chipset == chipset { return chip }
    throw .ENODEV
  }
}
