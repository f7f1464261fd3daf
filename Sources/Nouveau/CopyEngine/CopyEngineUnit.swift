import Base
import KernelRuntime
package import NVHardware

/// One logical copy engine: its errors (`struct nvkm_engine` of type CE).
package class CopyEngineUnit {
  let device: NVKMDevice
  package let entry: TopologyEntry
  /// Reports of refused launches, newest last.
  package private(set) var errors: [LaunchError] = []

  init(_ device: NVKMDevice, _ entry: TopologyEntry) {
    self.device = device
    self.entry = entry
  }

  /// Acknowledges what firmware left and enables the errors; nouveau leaves that to firmware.
  func initialize() async throws(KernelError) {
    let lce = entry.instance
    device.registers.write(NV_CE.LCE_INTR_STATUS(lce), .max)
    device.registers.write(
      NV_CE.LCE_INTR_EN(lce),
      NV_CE.LCE_INTR_STATUS_LAUNCHERR.make32(1)
        | NV_CE.LCE_INTR_STATUS_INVALID_CONFIG.make32(1))
  }

  /// The device goes or sleeps.
  func finish() {}

  /// Handles the engine's interrupt; true when a launch failed, so that what was asked of the
  /// engine has not been done. Atomic context.
  ///
  /// Kernel: gp100_ce_intr, gp100_ce_intr_launcherr (nvkm/engine/ce/gp100.c)
  // QUIRK(nouveau): the kernel logs LAUNCHERR and goes on; the fence behind the copy then signals
  // success for bytes that were never moved. Here the caller fails the channel.
  func handleInterrupt() -> Bool {
    let lce = entry.instance
    let status = device.registers.read(NV_CE.LCE_INTR_STATUS(lce))
    var hasFailed = false
    if NV_CE.LCE_INTR_STATUS_LAUNCHERR.get(status) != 0 {
      let code = NV_CE.LCE_LAUNCHERR_REPORT.get(device.registers.read(NV_CE.LCE_LAUNCHERR(lce)))
      let error = LaunchError(rawValue: code)
      errors.append(error ?? .INVALID_OPERATION)
      device.log.error("ce\(lce)", "LAUNCHERR \(code) [\(error.map { "\($0)" } ?? "")]")
      device.kernel.trace.record(.copyEngineError, UInt64(lce), UInt64(code))
      hasFailed = true
    }
    if NV_CE.LCE_INTR_STATUS_INVALID_CONFIG.get(status) != 0 {
      device.log.error("ce\(lce)", "INVALID_CONFIG")
      hasFailed = true
    }
    device.registers.write(NV_CE.LCE_INTR_STATUS(lce), status)
    return hasFailed
  }
}
