import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import NVHardware

/// The root of the interrupt tree: who is pending, and whose handler to run (`struct nvkm_mc` and
/// `nvkm_intr`). Its top half runs in atomic context.
package final class InterruptController {
  private let device: NVKMDevice
  private var handlers: [Handler] = []
  /// Sources of tree 0 that have a handler and are let through.
  private var enabled: UInt32 = 0
  /// Interrupts served.
  package private(set) var served: UInt64 = 0
  /// Interrupts that found nothing pending.
  package private(set) var spurious: UInt64 = 0
  private var isInTopHalf = false

  private struct Handler {
    let mask: UInt32
    let run: (UInt32) -> Void
  }

  init(_ device: NVKMDevice) { self.device = device }

  /// Has `run` called with its pending bits, errors before completions: handlers run in the order
  /// of adding.
  ///
  /// Kernel: nvkm_inth_add (nvkm/core/intr.c)
  func add(_ mask: UInt32, _ run: @escaping (UInt32) -> Void) {
    handlers.append(Handler(mask: mask, run: run))
    enabled |= mask
  }

  /// Lets some sources of those added through or holds them back; takes effect at once.
  ///
  /// Kernel: nvkm_inth_allow, nvkm_inth_block (nvkm/core/intr.c)
  func set(_ mask: UInt32, allowed: Bool) {
    enabled = allowed ? enabled | mask : enabled & ~mask
    if !isInTopHalf {
      device.registers.write(
        allowed ? NV_PMC.INTR_EN_SET(0) : NV_PMC.INTR_EN_CLEAR(0), mask)
    }
  }

  /// Takes the line and lets interrupts through; `EBUSY` when the line is taken.
  ///
  /// Kernel: nvkm_intr_ctor, nvkm_intr_rearm (nvkm/core/intr.c), gp100_mc_intr_rearm (mc/gp100.c)
  func start() throws(KernelError) {
    try device.pci.interrupt.request { [unowned self] in topHalf() }
    device.setTopHalf { [unowned self] in topHalf() }
    // A message that found no handler, before this driver or while the device slept, was never
    // acknowledged, and would hold the next one back. Kernel: nvkm_pci_init
    // (nvkm/subdev/pci/base.c)
    armMessage()
    rearm()
  }

  /// Kernel: nvkm_intr_dtor, gp100_mc_intr_unarm (nvkm/core/intr.c, mc/gp100.c)
  func stop() {
    unarm()
    device.setTopHalf(nil)
    device.pci.interrupt.free()
  }

  /// Takes a handler back and holds its sources back for good.
  ///
  /// Kernel: nvkm_inth_block (nvkm/core/intr.c)
  func remove(_ mask: UInt32) {
    set(mask, allowed: false)
    handlers.removeAll { $0.mask == mask }
  }

  /// Forgets the handlers, which hold on to the units.
  func removeHandlers() {
    handlers = []
    enabled = 0
  }

  /// Lets the next message out. Kernel: gp100_pci_msi_rearm (nvkm/subdev/pci/gp100.c)
  private func armMessage() {
    device.registers.write(NV_XVE.mirror + NV_XVE.CYA_2, 0)
  }

  /// Kernel: gp100_mc_intr_unarm (nvkm/subdev/mc/gp100.c)
  private func unarm() {
    device.registers.write(NV_PMC.INTR_EN_CLEAR(0), .max)
    device.registers.write(NV_PMC.INTR_EN_CLEAR(1), .max)
  }

  /// Kernel: gp100_mc_intr_rearm (nvkm/subdev/mc/gp100.c)
  private func rearm() {
    device.registers.write(NV_PMC.INTR_EN_SET(0), enabled)
  }

  /// Kernel: nvkm_intr, gp100_mc_intr (nvkm/core/intr.c, mc/gp100.c)
  private func topHalf() {
    guard !device.isLost && !isInTopHalf else { return }
    // Part of signalling also where a task does the interrupt's work.
    let section = device.kernel.beginSignalling()
    isInTopHalf = true
    handlePending()
    isInTopHalf = false
    device.kernel.endSignalling(section)
  }

  private func handlePending() {
    unarm()
    armMessage()
    let pending = device.registers.read(NV_PMC.INTR(0))
    let other = device.registers.read(NV_PMC.INTR(1))
    guard device.checkPresence() else { return }
    device.kernel.trace.record(.interrupt, UInt64(pending), UInt64(other))
    if pending == 0 { spurious += 1 } else { served += 1 }
    dispatch(pending)
    if !device.isLost { rearm() }
  }

  private func dispatch(_ pending: UInt32) {
    var unhandled = pending & enabled
    for handler in handlers {
      let mine = pending & handler.mask & enabled
      guard mine != 0 else { continue }
      unhandled &= ~mine
      handler.run(mine)
      if device.isLost { return }
    }
    guard unhandled != 0 else { return }
    // A source that nobody handles would interrupt for ever.
    device.log.error("mc", "intr 0x\(String(unhandled, radix: 16)) has no handler, blocked")
    enabled &= ~unhandled
  }
}
