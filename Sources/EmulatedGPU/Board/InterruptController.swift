import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// The root of the interrupt tree (PMC INTR) and the messages it sends.
///
/// GP100 sends one MSI and no other until the driver writes CYA_2, nouveau's `msi_rearm`
/// (SOURCE: nouveau nvkm/subdev/pci/gp100.c). An MSI is a write to host memory, so it needs
/// BUS_MASTER.
final class InterruptController {
  private let kernel: Kernel
  private let pci: ConfigurationSpace
  private let line: InterruptLine
  private let latency: UInt64
  private let faults: GPUFaultModel
  private(set) var pending: (UInt32, UInt32) = (0, 0)
  private(set) var enabled: (UInt32, UInt32) = (0, 0)
  private var isArmed = true
  private var wasActive = false
  /// Messages that could not leave because BUS_MASTER was off.
  private(set) var dropped: UInt64 = 0

  init(
    _ kernel: Kernel, _ pci: ConfigurationSpace, _ line: InterruptLine, latency: UInt64,
    faults: GPUFaultModel
  ) {
    self.kernel = kernel
    self.pci = pci
    self.line = line
    self.latency = latency
    self.faults = faults
  }

  /// A unit's level in tree 0 (stalling) or 1.
  func set(tree: Int, bit: UInt32, _ level: Bool) {
    let mask: UInt32 = 1 << bit
    guard ((tree == 0 ? pending.0 : pending.1) & mask != 0) != level else { return }
    if tree == 0 {
      pending.0 = level ? pending.0 | mask : pending.0 & ~mask
    } else {
      pending.1 = level ? pending.1 | mask : pending.1 & ~mask
    }
    update()
  }

  func enable(tree: UInt32, _ mask: UInt32) {
    if tree == 0 { enabled.0 |= mask } else { enabled.1 |= mask }
    update()
  }

  func disable(tree: UInt32, _ mask: UInt32) {
    if tree == 0 { enabled.0 &= ~mask } else { enabled.1 &= ~mask }
    update()
  }

  /// The driver wrote CYA_2.
  func rearm() {
    isArmed = true
    update()
  }

  private func update() {
    let active = pending.0 & enabled.0 | pending.1 & enabled.1 != 0
    defer { wasActive = active }
    guard active else { return }
    if pci.isMSIEnabled {
      guard isArmed else { return }
      isArmed = false
      send()
    } else if !pci.isINTxDisabled, !wasActive {
      send()
    }
  }

  private func send() {
    guard !pci.isMSIEnabled || pci.isBusMaster else {
      dropped += 1
      return
    }
    kernel.trace.record(.message, UInt64(pending.0), UInt64(pending.1))
    if kernel.failures.fires(.interruptLost) { return }
    if kernel.failures.fires(.interruptStorm) {
      for index in 1...max(1, faults.stormMessages) {
        line.raise(latency: latency + UInt64(index) * 1_000)
      }
    }
    line.raise(latency: latency)
  }
}
