package import Base
import KernelRuntime
import NVHardware

/// The host scheduler: runlists, channels, their control words, their interrupts
/// (`struct nvkm_fifo`).
package final class FIFO {
  let device: NVKMDevice
  let memory: InstanceMemory
  let topology: Topology
  package let userd: USERD
  /// Rising by number.
  package private(set) var runlists: [Runlist] = []
  let pbdmaCount: UInt32
  /// Channels by id; nil where the id is free.
  package private(set) var channels: [Channel?]
  /// INTR_EN_0 as last written: the interrupts the driver wants.
  var enabledInterrupts: UInt32 = 0
  /// Recovery runs here, so that nothing else can keep it from running.
  let recoveryQueue: WorkQueue
  /// Rewrites the binding of BAR1 after a fault of its own.
  var resetBAR1: (() -> Void)?

  /// Sets an engine up again that was reset.
  var reinitialize: ((TopologyEntry) async -> Void)?

  /// Everything but CHANNEL_INTR, which is on while somebody waits.
  ///
  /// SOURCE: nvkm/engine/fifo/gk104.c, gk104_fifo_init.
  static let initialInterrupts: UInt32 = 0x7fff_ffff

  /// Learns what the host has; ``initialize()`` sets it up.
  ///
  /// Kernel: nvkm_fifo_oneinit, gk104_fifo_runl_ctor (nvkm/engine/fifo/base.c, gk104.c)
  init(
    _ device: NVKMDevice, _ memory: InstanceMemory, _ bar1: BAR1, _ topology: Topology,
    channels count: Int
  ) async throws(KernelError) {
    self.device = device
    self.memory = memory
    self.topology = topology
    pbdmaCount = min(32, NV_PFIFO.CFG0_NUM_PBDMA.get(device.registers.read(NV_PFIFO.CFG0)))
    channels = [Channel?](repeating: nil, count: count)
    recoveryQueue = WorkQueue(device.kernel, device.named("nouveau-rc"))
    userd = try await USERD(device, bar1, memory, channels: count)
    for id in topology.runlists {
      var pbdmas: UInt32 = 0
      for pbdma in 0..<pbdmaCount
      where device.registers.read(NV_PFIFO.PBDMA_MAP(pbdma)) >> id & 1 != 0 {
        pbdmas |= 1 << pbdma
      }
      runlists.append(
        Runlist(
          self, id: id, pbdmas: pbdmas, engines: topology.entries.filter { $0.runlist == id }))
    }
  }

  /// Resets the unit and sets it up with no channel.
  ///
  /// Kernel: nvkm_fifo_init, gk104_fifo_init, gk104_fifo_init_pbdmas, gk208_runq_init
  /// (nvkm/engine/fifo/base.c, gk104.c, gk208.c)
  func initialize() {
    typealias P = NV_PFIFO
    let registers = device.registers
    let reset = NV_PMC.ENABLE_PFIFO.make32(1)
    registers.modify(NV_PMC.ENABLE, reset, 0)
    _ = registers.read(NV_PMC.ENABLE)
    registers.modify(NV_PMC.ENABLE, reset, reset)
    _ = registers.read(NV_PMC.ENABLE)
    var mask: UInt32 = 0
    for runlist in runlists { mask |= runlist.pbdmas }
    registers.write(NV_PMC.ENABLE_PB, mask)
    // SOURCE: gk104_fifo_init_pbdmas: every event but bit 30.
    registers.modify(P.INTR_RUNLIST_EN, 0xbfff_ffff, 0xbfff_ffff)
    for pbdma in 0..<pbdmaCount where mask >> pbdma & 1 != 0 { initializePBDMA(pbdma) }
    registers.write(
      P.BAR1_BASE,
      P.BAR1_BASE_VALID.make32(1) | P.BAR1_BASE_PTR.make32(UInt32(userd.base.rawValue >> 12)))
    registers.write(P.INTR_0, .max)
    enabledInterrupts = Self.initialInterrupts
    registers.write(P.INTR_EN_0, enabledInterrupts)
  }

  /// Kernel: gf100_runq_init, gk104_runq_init (nvkm/engine/fifo/gf100.c, gk104.c)
  private func initializePBDMA(_ pbdma: UInt32) {
    typealias P = NV_PPBDMA
    let registers = device.registers
    let base = P.base(pbdma)
    // SOURCE: gf100_runq_init: bits 28 and 8 of INTR_STALL, bit 8 of the enable.
    registers.modify(base + P.INTR_STALL, 0x1000_0100, 0)
    registers.write(base + P.INTR_0, .max)
    registers.write(base + P.INTR_EN_0, 0xffff_feff)
    registers.write(base + P.INTR_1, .max)
    registers.write(base + P.INTR_EN_1, .max)
  }

  /// Kernel: nvkm_fifo_fini (nvkm/engine/fifo/base.c)
  func finish() {
    enabledInterrupts = 0
    device.registers.write(NV_PFIFO.INTR_EN_0, 0)
  }

  func destroy() async {
    for runlist in runlists { await runlist.destroy() }
    await recoveryQueue.flush()
    await userd.destroy()
  }

  // MARK: channel ids

  /// The lowest free channel id; `ENOSPC` when all are in use.
  ///
  /// Kernel: nvkm_chid_get (nvkm/engine/fifo/chid.c)
  func allocateID() throws(KernelError) -> UInt32 {
    guard let id = channels.firstIndex(where: { $0 == nil }) else { throw .ENOSPC }
    return UInt32(id)
  }

  func register(_ channel: Channel) {
    invariant(channels[Int(channel.id)] == nil, "channel id \(channel.id) is in use")
    channels[Int(channel.id)] = channel
  }

  /// Kernel: nvkm_chid_put (nvkm/engine/fifo/chid.c)
  func unregister(_ channel: Channel) { channels[Int(channel.id)] = nil }

  /// Lets every channel go without a word to the hardware.
  func forgetChannels() {
    channels = []
    for runlist in runlists { runlist.forgetChannels() }
  }

  /// Kernel: nvkm_chan_get_inst (nvkm/engine/fifo/chan.c)
  package func channel(instance: VRAMAddress) -> Channel? {
    for case .some(let channel) in channels where channel.instanceAddress == instance {
      return channel
    }
    return nil
  }

  /// Kernel: nvkm_chan_get_chid (nvkm/engine/fifo/chan.c)
  package func channel(id: UInt32) -> Channel? {
    id < channels.count ? channels[Int(id)] : nil
  }

  package var liveChannels: [Channel] { channels.compactMap { $0 } }

  /// The first runlist with a copy engine of its own, and that engine.
  ///
  /// Kernel: nvif_fifo_runlist_ce, nouveau_accel_ce_init (nvif/fifo.c, nouveau_drm.c)
  package var copyRunlist: Runlist? {
    let copies = runlists.filter { list in
      list.engines.contains { $0.type == NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE }
    }
    return copies.first { list in
      !list.engines.contains { $0.type == NV_PTOP.DEVICE_INFO_TYPE_ENUM_GRAPHICS }
    } ?? copies.first
  }

  // MARK: the non-stall interrupt

  /// Lets NON_STALL_INTERRUPT methods interrupt the CPU.
  ///
  /// Kernel: gf100_fifo_nonstall_allow (nvkm/engine/fifo/gf100.c)
  @inline(__always)
  func allowNonStall() {
    let bit = NV_PFIFO.INTR_0_CHANNEL_INTR.make32(1)
    if enabledInterrupts & bit == 0 { setNonStall(enabledInterrupts | bit) }
  }

  /// Kernel: gf100_fifo_nonstall_block (nvkm/engine/fifo/gf100.c)
  func blockNonStall() {
    setNonStall(enabledInterrupts & ~NV_PFIFO.INTR_0_CHANNEL_INTR.make32(1))
  }

  private func setNonStall(_ enabled: UInt32) {
    enabledInterrupts = enabled
    device.registers.write(NV_PFIFO.INTR_EN_0, enabled)
  }
}
