import Base
package import DeviceSeam
package import KernelRuntime
import NVHardware

/// The hardware side of one GPU: registers, identity, and whether it is still there
/// (`struct nvkm_device`).
///
/// Every unit of the driver holds this and the units it builds on; none reaches the device
/// otherwise.
package final class NVKMDevice {
  package let kernel: Kernel
  package let pci: any PCIDevice
  package let registers: RegisterAccess
  package let chip: any ChipProfile
  package let identity: ChipIdentity
  /// What tells this GPU from others of the machine; empty for the first.
  package let label: String
  /// What the driver told the kernel's log, oldest first.
  package let log: DeviceLog
  /// The device answers with all ones: it fell off the bus and doesn't come back.
  package private(set) var isLost = false
  /// Run once, in order, when the loss is noticed. Atomic context.
  private var lossObservers: [() -> Void] = []
  /// The top half, once there is one.
  private var topHalf: (() -> Void)?

  init(
    _ kernel: Kernel, _ pci: any PCIDevice, chip: any ChipProfile, identity: ChipIdentity,
    log: DeviceLog, label: String = ""
  ) {
    self.kernel = kernel
    self.pci = pci
    registers = RegisterAccess(pci.registers)
    self.chip = chip
    self.identity = identity
    self.log = log
    self.label = label
  }

  /// A name of a task, a timeline or an owner within the machine.
  func named(_ name: String) -> String { label.isEmpty ? name : "\(label) \(name)" }

  func whenLost(_ body: @escaping () -> Void) { lossObservers.append(body) }

  /// Forgets who wants to hear of a loss; at teardown, so that nothing is kept alive.
  func forgetLossObservers() { lossObservers = [] }

  func setTopHalf(_ body: (() -> Void)?) { topHalf = body }

  /// Does what the interrupt handler does, without an interrupt: where one may have been lost.
  func serviceInterrupts() { topHalf?() }

  /// Asks BOOT_0 whether the device is still on the bus; every read of a removed function gives all
  /// ones, and BOOT_0 never does otherwise.
  ///
  /// Kernel: nvkm_intr (nvkm/core/intr.c), the check between reading and handling
  @discardableResult
  func checkPresence() -> Bool {
    if isLost { return false }
    guard registers.read(NV_PMC.BOOT_0) == .max else { return true }
    isLost = true
    log.error("device", "fell off the bus")
    let observers = lossObservers
    for observer in observers { observer() }
    return false
  }

  /// Holds a unit in reset for a moment, by its bit of PMC_ENABLE.
  ///
  /// Kernel: nvkm_mc_reset (nvkm/subdev/mc/base.c)
  func resetUnit(_ bit: UInt32) {
    registers.modify(NV_PMC.ENABLE, bit, 0)
    _ = registers.read(NV_PMC.ENABLE)
    registers.modify(NV_PMC.ENABLE, bit, bit)
    _ = registers.read(NV_PMC.ENABLE)
  }

  /// Polls a condition of the hardware for at most `timeout` nanoseconds; false when it never held.
  /// Looks once at once, then sleeps in steps that double from 1 µs to 1 ms.
  ///
  /// Kernel: nvkm_timer_wait_test (nvkm/subdev/timer/base.c)
  func wait(_ timeout: UInt64, until condition: () -> Bool) async -> Bool {
    if condition() { return true }
    let deadline = kernel.now &+ timeout
    var pause: UInt64 = 1_000
    while kernel.now < deadline && !isLost {
      await kernel.sleep(min(pause, deadline &- kernel.now))
      if condition() { return true }
      pause = min(2 * pause, 1_000_000)
    }
    return condition()
  }
}

/// Limits that the kernel gives the hardware, in nanoseconds.
enum HardwareLimit {
  /// `nvkm_msec(device, 2000, …)` of binds, invalidations and flushes.
  static let operation: UInt64 = 2_000_000_000
  /// A runlist submission: `fifo->timeout.chan_msec`, 10 s.
  static let runlist: UInt64 = 10_000_000_000
}
