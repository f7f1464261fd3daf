import Base
import KernelRuntime
import NVHardware

extension PBDMA {
  /// A register of the unit by its offset from the unit's base; nil for one that isn't there.
  func read(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PPBDMA.METHOD0: method0
    case NV_PPBDMA.DATA0: data0
    case NV_PPBDMA.INTR_0: intr0
    case NV_PPBDMA.INTR_EN_0: intrEnable0
    case NV_PPBDMA.INTR_1: intr1
    case NV_PPBDMA.INTR_EN_1: intrEnable1
    case NV_PPBDMA.GP_SHADOW_0: gpShadow.0
    case NV_PPBDMA.GP_SHADOW_1: gpShadow.1
    case NV_PPBDMA.HDR_SHADOW: headerShadow
    case NV_PPBDMA.HCE_DBG0: hceDebug.0
    case NV_PPBDMA.HCE_DBG1: hceDebug.1
    case NV_PPBDMA.CHANNEL: intr0 | intr1 != 0 ? errorChannel : current?.id ?? errorChannel
    case NV_PPBDMA.GP_PUT: current?.gpPut ?? 0
    case NV_PPBDMA.GP_GET: current?.gpGet ?? 0
    case NV_PPBDMA.GET: UInt32(truncatingIfNeeded: current?.fetch.address ?? 0)
    case NV_PPBDMA.GET_HI: UInt32(truncatingIfNeeded: (current?.fetch.address ?? 0) >> 32)
    case NV_PPBDMA.REF: current?.reference ?? 0
    case NV_PPBDMA.INTR_STALL: stall
    case NV_PPBDMA.TIMEOUT: timeout
    default: nil
    }
  }

  /// False for a register that isn't there or can't be written.
  func write(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case NV_PPBDMA.METHOD0: method0 = value
    case NV_PPBDMA.DATA0: data0 = value
    case NV_PPBDMA.INTR_0:
      intr0 &= ~value
      resume()
    case NV_PPBDMA.INTR_1:
      intr1 &= ~value
      resume()
    case NV_PPBDMA.INTR_EN_0:
      intrEnable0 = value
      updateInterrupt()
    case NV_PPBDMA.INTR_EN_1:
      intrEnable1 = value
      updateInterrupt()
    case NV_PPBDMA.INTR_STALL: stall = value
    case NV_PPBDMA.TIMEOUT: timeout = value
    default: return false
    }
    return true
  }

  /// The unit goes on when no interrupt is pending: with METHOD0 as the driver left it, or with
  /// what follows.
  private func resume() {
    updateInterrupt()
    guard intr0 | intr1 == 0 else { return }
    if errorKind == .method, NV_PPBDMA.METHOD0_VALID.get(method0) == 1, let current {
      current.stalled = Channel.Method(
        subchannel: NV_PPBDMA.METHOD0_SUBCH.get(method0),
        address: NV_PPBDMA.METHOD0_ADDR.get(method0) << 2, data: data0)
    }
    errorKind = .none
    agent.kick()
  }
}
