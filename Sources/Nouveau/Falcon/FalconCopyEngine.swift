package import Base
package import DeviceSeam
import Falcon
import KernelRuntime
package import NVHardware

/// A copy engine whose methods its microcode carries out: loads it, and reports what it refuses.
package final class FalconCopyEngine: CopyEngineUnit {
  private let source: FalconImage.Source
  private let store: (any FirmwareStore)?
  private let loader: FalconLoader
  /// Kept for the next reset or resume, when no file system may be at hand.
  private var image: FalconImage?
  /// Why it could not be loaded, newest last.
  package private(set) var failures: [FirmwareFailure] = []
  /// What the microcode refused, newest last.
  package private(set) var dispatchErrors: [DispatchError] = []

  /// A method that the microcode refused.
  package struct DispatchError: Hashable, Sendable {
    package let code: UInt32
    package let subchannel: UInt32
    /// In bytes.
    package let method: UInt32
    package let data: UInt32
    /// The instance block of the channel whose state was loaded.
    package let instance: VRAMAddress
  }

  package init(
    _ device: NVKMDevice, _ entry: TopologyEntry, source: FalconImage.Source,
    _ store: (any FirmwareStore)?
  ) {
    self.source = source
    self.store = store
    loader = FalconLoader(device: device, base: entry.priBase, resetBit: entry.reset)
    super.init(device, entry)
  }

  /// Kernel: nvkm_falcon_oneinit, nvkm_falcon_init (nvkm/engine/falcon.c)
  override func initialize() async throws(KernelError) {
    do throws(FirmwareFailure) {
      let image: FalconImage
      if let found = self.image {
        image = found
      } else {
        image = try FalconImage.request(source, base: entry.priBase, store, device.kernel)
      }
      try await loader.load(image, instance: entry.instance)
      self.image = image
    } catch {
      failures.append(error)
      device.log.error("ce\(entry.instance)", error.description)
      throw error.kernelError
    }
  }

  override func finish() {
    loader.stop()
    loader.reset()
  }

  /// Kernel: nvkm_falcon_intr (nvkm/engine/falcon.c), gt215_ce_intr (nvkm/engine/ce/gt215.c)
  // QUIRK(nouveau): the kernel logs and goes on; the fence behind the copy then signals success for
  // bytes that were never moved. Here the caller fails the channel.
  override func handleInterrupt() -> Bool {
    let registers = device.registers
    let base = entry.priBase
    let routing = registers.read(base + FalconRegister.interruptRouting.rawValue)
    let pending =
      registers.read(base + FalconRegister.interrupts.rawValue) & routing & ~(routing >> 16)
    guard pending != 0 else { return false }
    let instance = VRAMAddress(
      UInt64(registers.read(base + FalconRegister.channelCurrent.rawValue) & 0x3fff_ffff) << 12)
    if pending & FalconLine.software0 != 0 { noteDispatchError(instance) }
    if pending & FalconLine.exit != 0 {
      let pc = registers.read(base + FalconRegister.programCounter.rawValue)
      device.log.error("ce\(entry.instance)", "the microcode stopped at \(hex(pc))")
      // It doesn't sleep any more: recovery finds the engine busy and resets it.
    }
    let known = FalconLine.software0 | FalconLine.exit
    if pending & ~known != 0 {
      device.log.error("ce\(entry.instance)", "intr \(hex(pending & ~known))")
    }
    registers.write(base + FalconRegister.interruptClear.rawValue, pending)
    return pending & known != 0
  }

  private func noteDispatchError(_ instance: VRAMAddress) {
    let word = device.registers.read(entry.priBase + FalconRegister.scratch0.rawValue)
    let error = DispatchError(
      code: PCOPYDispatch.CODE.get(word), subchannel: PCOPYDispatch.SUBCHANNEL.get(word),
      method: PCOPYDispatch.METHOD.get(word) << 2,
      data: device.registers.read(entry.priBase + FalconRegister.scratch1.rawValue),
      instance: instance)
    dispatchErrors.append(error)
    device.log.error(
      "ce\(entry.instance)",
      "DISPATCH_ERROR \(hex(error.code)) [\(PCOPYDispatch.name(of: error.code))] "
        + "inst \(hex(instance.rawValue)) subc \(error.subchannel) mthd \(hex(error.method)) "
        + "data \(hex(error.data))")
    device.kernel.trace.record(.copyEngineError, UInt64(entry.instance), UInt64(error.code))
  }
}
