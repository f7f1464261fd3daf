public import Base
public import DeviceSeam
import NVHardware

/// What the first, reading steps of bring-up say of a device.
public struct DeviceIdentification: Hashable, Sendable, CustomStringConvertible {
  /// PMC_BOOT_0.
  public let boot0: UInt32
  /// As nouveau prints it, such as `GP100`.
  public let chip: String
  /// Such as 0x130.
  public let chipset: UInt32
  /// Such as 0xa1.
  public let revision: UInt32
  /// Why bring-up goes no further; nil when the device may be driven.
  public let stop: String?

  /// As the kernel's own line about a chip that it found.
  public var description: String {
    let words = "NVIDIA \(chip) (\(hex(boot0)))"
    return stop.map { "\(words); \($0)" } ?? words
  }
}

extension NouveauDevice {
  /// Asks a function who it is, and writes nothing to it.
  ///
  /// `ENODEV` for a function that isn't NVIDIA's display controller, doesn't answer, or has a chip
  /// that the driver doesn't know; `ENOSYS` when its byte order would have to be set first.
  ///
  /// Kernel: nouveau_drm_pci_table, nvkm_device_ctor (nvkm/engine/device/base.c)
  public static func identify(_ pci: any PCIDevice) throws(KernelError) -> DeviceIdentification {
    guard PCIFunction(pci: pci).isSupported else { throw .ENODEV }
    let identity = try ChipIdentity(
      probing: RegisterAccess(pci.registers), mayBeWritten: pci.side.mayBeDriven)
    let chip = try ChipTable.chip(identity.chipset)
    return DeviceIdentification(
      boot0: identity.boot0, chip: chip.name, chipset: identity.chipset,
      revision: identity.revision, stop: stop(pci.side))
  }

  private static func stop(_ side: PCIDeviceSide) -> String? {
    switch side {
    case .emulated: nil
    case .recorded: "bring-up stops here: a recording can be read, not driven"
    case .real: "bring-up stops here: this reference does not drive real boards"
    }
  }
}
