import Base
import KernelRuntime
import NVHardware

// Everything here runs in the top half: atomic context.
extension FIFO {
  /// Kernel: gk104_fifo_intr (nvkm/engine/fifo/gk104.c)
  func handleInterrupt() {
    typealias P = NV_PFIFO
    let registers = device.registers
    var status = InterruptBits(raw: registers.read(P.INTR_0) & enabledInterrupts)
    func acknowledge(_ field: BitField) { registers.write(P.INTR_0, field.make32(1)) }

    // Errors before completions: a fence behind failed work must find its channel killed.
    if status.take(P.INTR_0_MMU_FAULT) { handleMMUFaults() }
    if status.take(P.INTR_0_PBDMA_INTR) { handlePBDMAs() }
    if status.take(P.INTR_0_SCHED_ERROR) {
      handleSchedulingError()
      acknowledge(P.INTR_0_SCHED_ERROR)
    }
    if status.take(P.INTR_0_BIND_ERROR) {
      device.log.error("fifo", "BIND_ERROR \(registers.read(P.BIND_ERROR) & 0xff)")
      acknowledge(P.INTR_0_BIND_ERROR)
    }
    if status.take(P.INTR_0_CHSW_ERROR) {
      let code = registers.read(P.CHSW_ERROR)
      device.log.error("fifo", "CHSW_ERROR \(code)")
      registers.write(P.CHSW_ERROR, code)
      acknowledge(P.INTR_0_CHSW_ERROR)
    }
    for (field, name) in Self.loggedOnly where status.take(field) {
      device.log.error("fifo", name)
      acknowledge(field)
    }
    if status.take(P.INTR_0_RUNLIST_EVENT) {
      registers.write(P.INTR_RUNLIST, registers.read(P.INTR_RUNLIST))
    }
    if status.take(P.INTR_0_CHANNEL_INTR) {
      acknowledge(P.INTR_0_CHANNEL_INTR)
      handleNonStall()
    }
    guard status.raw != 0 else { return }
    device.log.error("fifo", "INTR 0x\(String(status.raw, radix: 16))")
    enabledInterrupts &= ~status.raw
    registers.write(P.INTR_EN_0, enabledInterrupts)
    registers.write(P.INTR_0, status.raw)
  }

  private static let loggedOnly: [(BitField, String)] = [
    (NV_PFIFO.INTR_0_FB_FLUSH_TIMEOUT, "FB_FLUSH_TIMEOUT"),
    (NV_PFIFO.INTR_0_LB_ERROR, "LB_ERROR"),
    (NV_PFIFO.INTR_0_DROPPED_MMU_FAULT, "DROPPED_MMU_FAULT"),
  ]

  /// The interrupt doesn't say which channel; each looks at its own word.
  ///
  /// Kernel: nvkm_event_ntfy of fifo->nonstall.event, gf100_fifo_nonstall_block
  private func handleNonStall() {
    var isWanted = false
    for case .some(let channel) in channels where channel.fences.notifyCount > 0 {
      isWanted = true
      channel.fences.notify()
    }
    if !isWanted { blockNonStall() }
  }

  // MARK: PBDMA

  /// Kernel: gf100_fifo_intr_pbdma (nvkm/engine/fifo/gf100.c)
  private func handlePBDMAs() {
    let pending = device.registers.read(NV_PFIFO.INTR_PBDMA_ID)
    for pbdma in 0..<pbdmaCount where pending >> pbdma & 1 != 0 {
      handlePBDMA(pbdma)
      device.registers.write(NV_PFIFO.INTR_PBDMA_ID, 1 << pbdma)
    }
  }

  /// Kernel: gf100_runq_intr, gk104_runq_intr_1 (nvkm/engine/fifo/gf100.c, gk104.c)
  private func handlePBDMA(_ pbdma: UInt32) {
    typealias P = NV_PPBDMA
    let registers = device.registers
    let base = P.base(pbdma)
    let id = P.CHANNEL_CHID.get(registers.read(base + P.CHANNEL))
    let status = registers.read(base + P.INTR_0) & registers.read(base + P.INTR_EN_0)
    if status != 0 {
      let method = registers.read(base + P.METHOD0)
      let data = registers.read(base + P.DATA0)
      device.log.error(
        "fifo",
        "PBDMA\(pbdma): \(hex(status)) ch \(id) subc \(P.METHOD0_SUBCH.get(method)) "
          + "mthd \(hex(P.METHOD0_ADDR.get(method) << 2)) data \(hex(data))")
      // No software class exists here, so a DEVICE method is as fatal as the others.
      if status & (P.INTR_0_FATAL | P.INTR_0_DEVICE.make32(1)) != 0 { fail(id) }
      registers.write(base + P.METHOD0, P.METHOD0_NOP)
      registers.write(base + P.INTR_0, status)
    }
    let status1 = registers.read(base + P.INTR_1) & registers.read(base + P.INTR_EN_1)
    if status1 != 0 {
      device.log.error(
        "fifo",
        "PBDMA\(pbdma): INTR_1 \(hex(status1)) ch \(id) "
          + "\(hex(registers.read(base + P.HCE_DBG0))) \(hex(registers.read(base + P.HCE_DBG1)))")
      // QUIRK(nouveau): the kernel only logs these. An HCE_PRIV or ALIGNB error drops a launch
      // (N07), so what the fence behind it promises would be untrue.
      fail(id)
      registers.write(base + P.INTR_1, status1)
    }
  }

  /// Kernel: nvkm_chan_error (nvkm/engine/fifo/chan.c)
  private func fail(_ id: UInt32) {
    guard let channel = channel(id: id), channel.isBound else { return }
    channel.fail(.EIO)
    // Off the PBDMA before it goes on with the methods behind the bad one.
    channel.runlist.requestPreempt(channel)
    channel.runlist.scheduleRecovery(of: channel)
  }

  /// An engine said that it didn't do what it was told; every channel that could have told it
  /// fails.
  func failChannels(of engine: TopologyEntry) {
    let group = EngineStatus(device.registers, engine.engine)?.group
    for case .some(let channel) in channels
    where channel.runlist.id == engine.runlist && (group == nil || group == channel.id) {
      channel.fail(.EIO, trustsMemory: false)
      channel.runlist.scheduleRecovery(of: channel)
    }
  }

  // MARK: scheduling errors

  /// Kernel: gf100_fifo_intr_sched, gf100_fifo_intr_sched_ctxsw (nvkm/engine/fifo/gf100.c)
  private func handleSchedulingError() {
    typealias P = NV_PFIFO
    let code = P.SCHED_ERROR_CODE.get(device.registers.read(P.SCHED_ERROR))
    device.log.error("fifo", "SCHED_ERROR \(hex(code))")
    guard code == P.SCHED_ERROR_CTXSW_TIMEOUT else { return }
    for runlist in runlists {
      for engine in runlist.engines where engine.engine < 32 {
        guard let status = EngineStatus(device.registers, engine.engine), status.isSwitching else {
          continue
        }
        triggerMMUFault(runlist, engine)
      }
    }
  }

  /// Makes the MMU report a fault for a stuck engine; its handling recovers the channel.
  ///
  /// Kernel: gf100_fifo_intr_ctxsw_timeout, gf100_engn_mmu_fault_trigger (nvkm/engine/fifo/gf100.c)
  private func triggerMMUFault(_ runlist: Runlist, _ engine: TopologyEntry) {
    typealias P = NV_PFIFO
    runlist.block()
    device.registers.write(
      P.TRIGGER_MMU_FAULT(engine.engine),
      P.TRIGGER_MMU_FAULT_ENABLE.make32(1) | P.TRIGGER_MMU_FAULT_ID.make32(engine.faultID))
    // The host keeps the list stopped by itself until ERROR_SCHED_DISABLE is cleared.
    runlist.allow()
  }

  // MARK: MMU faults

  /// Kernel: gf100_fifo_intr_mmu_fault (nvkm/engine/fifo/gf100.c)
  private func handleMMUFaults() {
    let pending = device.registers.read(NV_PFIFO.INTR_MMU_FAULT_ID)
    for unit: UInt32 in 0..<32 where pending >> unit & 1 != 0 {
      let fault = MMUFault(device.registers, unit)
      recover(fault)
      device.registers.write(NV_PFIFO.INTR_MMU_FAULT_ID, 1 << unit)
    }
    device.registers.write(NV_PFIFO.INTR_0, NV_PFIFO.INTR_0_MMU_FAULT.make32(1))
  }

  /// Kernel: gf100_fifo_mmu_fault_recover (nvkm/engine/fifo/gf100.c)
  private func recover(_ fault: MMUFault) {
    device.kernel.trace.record(
      .mmuFault, UInt64(fault.unit), fault.address, UInt64(fault.reason), UInt64(fault.access))
    for runlist in runlists {
      guard let engine = runlist.engines.first(where: { $0.faultID == fault.unit }) else {
        continue
      }
      if takeTrigger(engine) {
        // The fault that a scheduling time-out asked for names no channel: the engine does.
        if let group = EngineStatus(device.registers, engine.engine)?.group,
          let channel = channel(id: group)
        {
          channel.fail(.EIO)
          runlist.scheduleRecovery(of: channel)
        }
        return
      }
    }
    let channel = channel(instance: fault.instance)
    device.log.error("fifo", "\(fault) on channel \(channel.map { "\($0.id)" } ?? "unknown")")
    switch fault.unit {
    case NV_PFAULT.MMU_ENG_ID_BAR1: resetBAR1?()
    case NV_PFAULT.MMU_ENG_ID_IFB:
      // SOURCE: gf100_fifo_mmu_fault_recover: reads and writes the register back.
      device.registers.modify(NV_PBUS.IFB_BLOCK, 0, 0)
    default: break
    }
    if let channel {
      channel.fail(.EIO)
      channel.runlist.scheduleRecovery(of: channel)
    }
  }

  /// Kernel: gf100_engn_mmu_fault_triggered (nvkm/engine/fifo/gf100.c)
  private func takeTrigger(_ engine: TopologyEntry) -> Bool {
    typealias P = NV_PFIFO
    guard engine.engine < 32 else { return false }
    let enable = P.TRIGGER_MMU_FAULT_ENABLE.make32(1)
    guard device.registers.read(P.TRIGGER_MMU_FAULT(engine.engine)) & enable != 0 else {
      return false
    }
    device.registers.modify(P.TRIGGER_MMU_FAULT(engine.engine), enable, 0)
    return true
  }
}

/// Pending bits that are dealt with one by one.
private struct InterruptBits {
  var raw: UInt32

  @inline(__always)
  mutating func take(_ field: BitField) -> Bool {
    let bit = UInt32(truncatingIfNeeded: field.mask)
    defer { raw &= ~bit }
    return raw & bit != 0
  }
}
