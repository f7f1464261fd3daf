import Base
import DeviceSeam
import NVHardware

/// The PCI side of bring-up: decoding, bus mastering, power state, the DMA mask.
struct PCIFunction {
  let pci: any PCIDevice

  /// Whether the function is an NVIDIA display controller, as the driver's id table asks.
  ///
  /// Kernel: nouveau_drm_pci_table (nouveau_drm.c)
  var isSupported: Bool {
    let id = pci.readConfiguration(at: Int(NV_XVE.ID))
    let revision = pci.readConfiguration(at: Int(NV_XVE.REV_ID))
    return NV_XVE.ID_VENDOR.get(id) == NV_XVE.ID_VENDOR_NVIDIA
      && NV_XVE.REV_ID_CLASS_CODE.get(revision) >> 16 == 0x03
  }

  /// Brings the function to D0, lets it answer memory accesses and issue its own.
  ///
  /// Kernel: nouveau_drm_probe, pci_enable_device, pci_set_master (nouveau_drm.c)
  func enable() throws(KernelError) {
    let power = pci.readConfiguration(at: Int(NV_XVE.PM_CTRL))
    guard power != .max else { throw .ENODEV }
    if NV_XVE.PM_CTRL_POWER_STATE.get(power) != 0 {
      pci.writeConfiguration(
        NV_XVE.PM_CTRL_POWER_STATE.set(power, to: 0), at: Int(NV_XVE.PM_CTRL))
    }
    setCommand(
      NV_XVE.DEV_CTRL_CMD_MEMORY_SPACE.make32(1) | NV_XVE.DEV_CTRL_CMD_BUS_MASTER.make32(1), 0)
    let message = pci.readConfiguration(at: Int(NV_XVE.MSI_CTRL))
    pci.writeConfiguration(
      NV_XVE.MSI_CTRL_ENABLE.set(message, to: 1), at: Int(NV_XVE.MSI_CTRL))
  }

  /// Takes bus mastering and messages back; the function keeps answering.
  ///
  /// Kernel: pci_clear_master, pci_disable_msi
  func disable() {
    let message = pci.readConfiguration(at: Int(NV_XVE.MSI_CTRL))
    pci.writeConfiguration(
      NV_XVE.MSI_CTRL_ENABLE.set(message, to: 0), at: Int(NV_XVE.MSI_CTRL))
    setCommand(0, NV_XVE.DEV_CTRL_CMD_BUS_MASTER.make32(1))
  }

  /// The status half is write-one-to-clear, so it is written as zero.
  private func setCommand(_ set: UInt32, _ clear: UInt32) {
    let command = pci.readConfiguration(at: Int(NV_XVE.DEV_CTRL)) & 0xffff
    pci.writeConfiguration(command & ~clear | set, at: Int(NV_XVE.DEV_CTRL))
  }
}
