import Base
import KernelRuntime
import NVHardware

/// The ring in which the MMU reports accesses that wait for a replay (`struct nvkm_fault_buffer`).
///
/// Exists while somebody wants such faults. Pascal reaches the ring through BAR2's address space,
/// so that comes and goes with it.
package final class FaultBuffer {
  private let device: NVKMDevice
  private let mmu: MMU
  private let interrupts: InterruptController
  private let memory: InstanceMemory
  private let instance: InstanceObject
  private let space: GPUAddressSpace
  private let ring: InstanceObject
  /// Packets that the ring holds.
  package let entryCount: UInt32
  /// Called when packets are there; atomic context. Interrupts then stay off until ``rearm()``.
  private var handler: () -> Void
  /// Packets that were there without VALID, or with an unknown code.
  package private(set) var malformed: UInt64 = 0

  private static let source = NV_PMC.INTR_REPLAYABLE_FAULT.make32(1)
  /// Enough of BAR2 for the ring. SOURCE: device-facts; BAR2 is at least 16 MiB.
  private static let spaceBytes: UInt64 = 16 << 20

  /// Kernel: nvkm_fault_oneinit_buffer, gp100_fault_buffer_info, gp100_fault_buffer_pin
  /// (nvkm/subdev/fault/base.c, gp100.c)
  init(
    _ device: NVKMDevice, _ mmu: MMU, _ interrupts: InterruptController,
    handler: @escaping () -> Void
  ) async throws(KernelError) {
    self.device = device
    self.mmu = mmu
    self.interrupts = interrupts
    self.handler = handler
    memory = mmu.memory
    let count = device.registers.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_SIZE)
    guard count > 0, count <= 1 << 19 else { throw .EIO }
    entryCount = count
    let bytes = Int(count) * NVB069_FAULT_BUF_ENTRY.byteCount
    let mapped = PageSize.pages(forBytes: UInt64(bytes)) << UInt64(PageSize.shift)
    let teardown = TeardownStack()
    do throws(KernelError) {
      let memory = mmu.memory
      let block = try memory.allocate(bytes: NV_RAMIN.byteCount)
      teardown.push("instance") { memory.free(block) }
      instance = block
      let tables = try GPUAddressSpace(
        mmu, "bar2", limit: Self.spaceBytes,
        managed: GPUVirtualAddress(0)..<GPUVirtualAddress(Self.spaceBytes), isBAR: true)
      teardown.push("space") { await tables.destroy() }
      space = tables
      let object = try memory.allocate(bytes: Int(mapped))
      teardown.push("ring") { memory.free(object) }
      ring = object
      try await tables.map(.vram(object.address), at: GPUVirtualAddress(0), bytes: mapped)
      try await Self.bind(device, tables, block)
    } catch {
      await teardown.run()
      throw error
    }
    interrupts.add(Self.source) { [unowned self] _ in handleInterrupt() }
    start()
  }

  /// Kernel: gf100_bar_bar2_init (nvkm/subdev/bar/gf100.c)
  private static func bind(
    _ device: NVKMDevice, _ space: GPUAddressSpace, _ block: InstanceObject
  ) async throws(KernelError) {
    typealias P = NV_PBUS
    space.join(block)
    let registers = device.registers
    registers.write(
      P.BAR2_BLOCK,
      P.BAR_BLOCK_MODE_VIRTUAL.make32(1)
        | P.BAR_BLOCK_PTR.make32(UInt32(block.address.rawValue >> 12)))
    let busy = P.BIND_STATUS_BAR2_PENDING.make32(1) | P.BIND_STATUS_BAR2_OUTSTANDING.make32(1)
    guard
      await device.wait(
        HardwareLimit.operation, until: { registers.read(P.BIND_STATUS) & busy == 0 })
    else { throw .EIO }
  }

  /// Kernel: gp100_fault_buffer_init (nvkm/subdev/fault/gp100.c)
  private func start() {
    typealias P = NV_PFIFO
    let enable = P.REPLAYABLE_FAULT_BUFFER_LO_ENABLE.make32(1)
    // The ring lies at address 0 of BAR2.
    device.registers.write(P.REPLAYABLE_FAULT_BUFFER_HI, 0)
    device.registers.write(P.REPLAYABLE_FAULT_BUFFER_LO, 0)
    device.registers.modify(P.REPLAYABLE_FAULT_BUFFER_LO, enable, enable)
    interrupts.set(Self.source, allowed: true)
  }

  /// Kernel: gp100_fault_buffer_fini (nvkm/subdev/fault/gp100.c)
  private func stop() {
    interrupts.set(Self.source, allowed: false)
    device.registers.modify(
      NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO,
      NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO_ENABLE.make32(1), 0)
  }

  /// Puts the buffer to sleep and back to work over suspend; packets in between are lost, and their
  /// accesses fault again.
  func suspend() { stop() }
  func resume() async throws(KernelError) {
    try await Self.bind(device, space, instance)
    start()
  }

  /// Kernel: nvkm_fault_dtor (nvkm/subdev/fault/base.c)
  func destroy() async {
    stop()
    interrupts.remove(Self.source)
    handler = {}
    device.registers.modify(
      NV_PBUS.BAR2_BLOCK, NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.make32(1), 0)
    await space.destroy()
    memory.free(ring)
    memory.free(instance)
  }

  // MARK: use

  /// Kernel: gp100_fault_intr, nouveau_svm_event (nvkm/subdev/fault/gp100.c, nouveau_svm.c)
  private func handleInterrupt() {
    // The source stays pending while packets are there: held back until they were read.
    interrupts.set(Self.source, allowed: false)
    handler()
  }

  /// Lets the interrupt through again; it comes at once when packets are there.
  package func rearm() { interrupts.set(Self.source, allowed: true) }

  /// Takes up to `limit` packets off the ring, oldest first.
  ///
  /// Kernel: nouveau_svm_fault, nouveau_svm_fault_cache (nouveau_svm.c)
  package func takeFaults(limit: Int = .max) -> [ReplayableFault] {
    typealias P = NV_PFIFO
    typealias F = NVB069_FAULT_BUF_ENTRY
    var faults: [ReplayableFault] = []
    let put = device.registers.read(P.REPLAYABLE_FAULT_BUFFER_PUT)
    var get = device.registers.read(P.REPLAYABLE_FAULT_BUFFER_GET)
    guard put < entryCount, get < entryCount else {
      _ = device.checkPresence()
      return []
    }
    var taken = 0
    while get != put && taken < limit {
      let base = Int(get) * F.byteCount
      let words = (0..<F.byteCount / 4).map { ring.read32(base + 4 * $0) }
      if let fault = ReplayableFault(words: words) {
        faults.append(fault)
      } else {
        malformed += 1
        device.log.error("fault", "packet \(get) is not valid")
      }
      ring.write32(words[F.INFO_WORD / 4] & ~F.VALID.make32(1), base + F.INFO_WORD)
      get = get + 1 == entryCount ? 0 : get + 1
      taken += 1
    }
    if taken > 0 { device.registers.write(P.REPLAYABLE_FAULT_BUFFER_GET, get) }
    return faults
  }

  /// Has every parked access tried again.
  ///
  /// Kernel: nouveau_svm_fault_replay (nouveau_svm.c)
  package func replay() async { await mmu.replayFaults() }

  /// Gives up a parked access: its channel dies.
  ///
  /// Kernel: nouveau_svm_fault_cancel_fault (nouveau_svm.c)
  package func cancel(_ fault: ReplayableFault) async {
    await mmu.cancelFault(isHub: fault.isHub, gpc: fault.gpc, client: fault.client)
  }
}
