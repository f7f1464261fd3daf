import Base
import NVHardware

/// The registers of PCI configuration space that the GPU implements.
///
/// SOURCE: open-gpu-doc dev_nv_xve3g_fn0: which bits of each are writable.
final class ConfigurationSpace {
  private var words: [UInt32]
  private let bar1Bytes: UInt64
  private(set) var isBusMaster = false
  private(set) var isMSIEnabled = false
  private(set) var isINTxDisabled = false

  /// BAR0's size: its address register is writable from bit 24.
  static let bar0Bytes: UInt64 = 16 << 20
  /// "BAR2" (Linux resource 3).
  static let bar2Bytes: UInt64 = 32 << 20
  /// AER: Unsupported Request, of PCI Express Base 7.8.4.2.
  private static let unsupportedRequest: UInt32 = 1 << 20

  private static let defined: [UInt32] = [
    NV_XVE.ID, NV_XVE.DEV_CTRL, NV_XVE.REV_ID, NV_XVE.MISC_1, NV_XVE.BAR0, NV_XVE.BAR1_LO,
    NV_XVE.BAR1_HI, NV_XVE.BAR2_LO, NV_XVE.BAR2_HI, NV_XVE.BAR3, 0x28, NV_XVE.SUBSYSTEM,
    NV_XVE.ROM_BAR, NV_XVE.CAP_PTR, 0x38, NV_XVE.INTERRUPT, NV_XVE.SUBSYSTEM_ALIAS,
    NV_XVE.ROM_CTRL, NV_XVE.VGA_DECODE, NV_XVE.PM_CAP, NV_XVE.PM_CTRL, NV_XVE.MSI_CTRL,
    NV_XVE.MSI_ADDR_LO, NV_XVE.MSI_ADDR_HI, NV_XVE.MSI_DATA, NV_XVE.PCIE_CAP, NV_XVE.DEVICE_CAP,
    NV_XVE.DEVICE_CTRL, NV_XVE.LINK_CAP, NV_XVE.LINK_CTRL, NV_XVE.DEVICE_CTRL_2,
    NV_XVE.LINK_CTRL_2, NV_XVE.VC_CAP, NV_XVE.POWER_BUDGET_CAP, NV_XVE.AER_CAP,
    NV_XVE.AER_UNCORR_STATUS, NV_XVE.AER_UNCORR_MASK, NV_XVE.AER_UNCORR_SEVERITY,
    NV_XVE.AER_CORR_STATUS, NV_XVE.AER_CORR_MASK, NV_XVE.CYA_2,
  ]

  init(_ configuration: GPUConfiguration) {
    words = [UInt32](repeating: 0, count: Self.defined.count)
    bar1Bytes = configuration.bar1Bytes
    let chip = configuration.chip
    set(
      NV_XVE.ID,
      NV_XVE.ID_DEVICE_CHIP.make32(chip.pciDeviceID) | NV_XVE.ID_VENDOR_NVIDIA)
    set(NV_XVE.DEV_CTRL, NV_XVE.DEV_CTRL_STAT_CAPLIST.make32(1))
    set(
      NV_XVE.REV_ID,
      NV_XVE.REV_ID_CLASS_CODE.make32(chip.pciClassCode)
        | NV_XVE.REV_ID_REVISION.make32(chip.boot0 & 0xff))
    // 64-bit prefetchable BARs say so in their low bits.
    set(NV_XVE.BAR1_LO, 0xc)
    set(NV_XVE.BAR2_LO, 0xc)
    set(NV_XVE.BAR3, 1)
    set(NV_XVE.SUBSYSTEM, chip.pciSubsystem)
    set(NV_XVE.CAP_PTR, NV_XVE.PM_CAP)
    set(NV_XVE.INTERRUPT, 1 << 8)
    set(NV_XVE.ROM_CTRL, 1)
    // Capability headers: id, next, then what the capability itself says.
    set(NV_XVE.PM_CAP, 0x01 | NV_XVE.MSI_CTRL << 8 | 3 << 16)
    set(NV_XVE.MSI_CTRL, 0x05 | NV_XVE.PCIE_CAP << 8 | NV_XVE.MSI_CTRL_64BIT.make32(1))
    set(NV_XVE.PCIE_CAP, 0x10 | 2 << 16)
    // Extended capabilities: id, version 1, next.
    set(NV_XVE.VC_CAP, 0x0002 | 1 << 16 | NV_XVE.POWER_BUDGET_CAP << 20)
    set(NV_XVE.POWER_BUDGET_CAP, 0x0004 | 1 << 16 | NV_XVE.AER_CAP << 20)
    set(NV_XVE.AER_CAP, 0x0001 | 1 << 16)
  }

  private func index(_ offset: UInt32) -> Int? { Self.defined.firstIndex(of: offset) }

  private func set(_ offset: UInt32, _ value: UInt32) {
    guard let index = index(offset) else { invariantFailed("configuration offset \(offset)") }
    words[index] = value
  }

  func read(_ offset: UInt32) -> UInt32? { index(offset).map { words[$0] } }

  /// False for an offset that is not implemented.
  func write(_ value: UInt32, _ offset: UInt32) -> Bool {
    guard let index = index(offset) else { return false }
    let old = words[index]
    let writable = writableBits(offset)
    var new = old & ~writable | value & writable
    if offset == NV_XVE.AER_UNCORR_STATUS || offset == NV_XVE.AER_CORR_STATUS {
      new = old & ~value
    }
    words[index] = new
    switch offset {
    case NV_XVE.DEV_CTRL:
      isBusMaster = NV_XVE.DEV_CTRL_CMD_BUS_MASTER.get(new) == 1
      isINTxDisabled = NV_XVE.DEV_CTRL_CMD_INTERRUPT_DISABLE.get(new) == 1
    case NV_XVE.MSI_CTRL:
      isMSIEnabled = NV_XVE.MSI_CTRL_ENABLE.get(new) == 1
    case NV_XVE.SUBSYSTEM_ALIAS:
      set(NV_XVE.SUBSYSTEM, new)
    default:
      break
    }
    return true
  }

  private func writableBits(_ offset: UInt32) -> UInt32 {
    switch offset {
    case NV_XVE.DEV_CTRL: 0x0000_0547
    case NV_XVE.BAR0: ~UInt32(Self.bar0Bytes - 1)
    case NV_XVE.BAR1_LO: UInt32(truncatingIfNeeded: ~(bar1Bytes - 1))
    case NV_XVE.BAR1_HI: UInt32(truncatingIfNeeded: ~(bar1Bytes - 1) >> 32)
    case NV_XVE.BAR2_LO: ~UInt32(Self.bar2Bytes - 1)
    case NV_XVE.BAR3: 0xffff_ff80
    case NV_XVE.ROM_BAR: 0xfff8_0001
    case NV_XVE.INTERRUPT: 0x0000_00ff
    case NV_XVE.ROM_CTRL, NV_XVE.VGA_DECODE: 1
    case NV_XVE.PM_CTRL: 0x0000_0103
    case NV_XVE.MSI_CTRL: 0x0071_0000
    case NV_XVE.MSI_DATA: 0x0000_ffff
    case NV_XVE.MSI_ADDR_LO: ~3
    case NV_XVE.DEVICE_CTRL: 0x0000_ffff
    case NV_XVE.LINK_CTRL: 0x0000_0fff
    case NV_XVE.SUBSYSTEM_ALIAS, NV_XVE.BAR2_HI, NV_XVE.MSI_ADDR_HI, NV_XVE.DEVICE_CTRL_2,
      NV_XVE.LINK_CTRL_2, NV_XVE.AER_UNCORR_MASK, NV_XVE.AER_UNCORR_SEVERITY,
      NV_XVE.AER_CORR_MASK, NV_XVE.CYA_2:
      ~0
    default: 0
    }
  }

  /// A request of the device came back refused.
  func recordUnsupportedRequest() {
    guard let index = index(NV_XVE.AER_UNCORR_STATUS) else { return }
    words[index] |= Self.unsupportedRequest
  }
}
