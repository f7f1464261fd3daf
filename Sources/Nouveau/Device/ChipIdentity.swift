import Base
import NVHardware

/// Which chip stands behind a register window: what `nvkm_device_ctor` reads before anything else.
package struct ChipIdentity: Hashable, Sendable {
  /// BOOT_0 as read.
  package let boot0: UInt32
  /// Architecture and implementation, such as 0x130.
  package let chipset: UInt32
  /// Major and minor revision, such as 0xa1.
  package let revision: UInt32
  /// The crystal's frequency in kHz, by strap.
  package let crystalKHz: Int

  /// Sets little-endian access and reads who is there. `ENOSYS` when the byte order can't be set,
  /// `ENODEV` when nothing answers.
  ///
  /// A device that `mayBeWritten` denies keeps its byte order; `ENOSYS` when that is the wrong one.
  ///
  /// Kernel: nvkm_device_ctor, nvkm_device_endianness (nvkm/engine/device/base.c)
  init(probing registers: RegisterAccess, mayBeWritten: Bool = true) throws(KernelError) {
    // A dead or absent card reads as all ones everywhere, so BOOT_0 goes first.
    let boot0 = registers.read(NV_PMC.BOOT_0)
    guard boot0 != .max else { throw .ENODEV }
    if registers.read(NV_PMC.BOOT_1) == NV_PMC.BOOT_1_BIG_ENDIAN {
      guard mayBeWritten else { throw .ENOSYS }
      // The switch is its own value in either byte order.
      registers.write(NV_PMC.BOOT_1, NV_PMC.BOOT_1_BIG_ENDIAN)
      _ = registers.read(NV_PMC.BOOT_0)
      guard registers.read(NV_PMC.BOOT_1) == 0 else { throw .ENOSYS }
    }
    self.boot0 = boot0
    chipset = NV_PMC.BOOT_0_CHIP_ID.get(boot0)
    revision = boot0 & 0xff
    switch registers.read(NV_STRAP.BOOT) & NV_STRAP.BOOT_CRYSTAL_MASK {
    case NV_STRAP.BOOT_CRYSTAL_13500: crystalKHz = 13500
    case NV_STRAP.BOOT_CRYSTAL_14318: crystalKHz = 14318
    case NV_STRAP.BOOT_CRYSTAL_27000: crystalKHz = 27000
    default: crystalKHz = 25000
    }
  }
}
