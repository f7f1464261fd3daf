import Base
import DMAFence
import KernelRuntime
package import NVHardware

/// One runlist: the channels that the host schedules onto some engines (`struct nvkm_runl`).
///
/// LOCKING: ``lock`` (`nvkm_runl.mutex`) around changes of the list; blocking and flagging are
/// atomic.
package final class Runlist {
  unowned let fifo: FIFO
  package let id: UInt32
  /// The PBDMAs that serve it, one bit each.
  let pbdmas: UInt32
  package let engines: [TopologyEntry]
  /// Channels on the list, oldest first, each in a group of its own.
  private(set) var channels: [Channel] = []
  /// Made when the first channel comes.
  private var list: InstanceObject?
  /// Scheduling is off while above 0.
  private var blockCount = 0
  /// Recoveries asked for and not yet begun.
  private var pendingRecoveries = 0
  let lock: SleepingLock
  private var recovery: Work?

  /// Recovery takes it, and fences of channels that share the runlist wait for recovery: so nobody
  /// who holds it may wait for a fence or reclaim memory.
  static let lockClass = LockClass(
    name: "runlist mutex", rank: 470, nests: true, isAllowedWhileSignalling: true)

  init(_ fifo: FIFO, id: UInt32, pbdmas: UInt32, engines: [TopologyEntry]) {
    self.fifo = fifo
    self.id = id
    self.pbdmas = pbdmas
    self.engines = engines
    lock = SleepingLock(fifo.device.kernel, Self.lockClass)
    let kernel = fifo.device.kernel
    // Names of parameters stay out: the closure would keep the unit alive that holds the runlist.
    recovery = Work("runlist \(id) recovery") { [unowned self] in
      await kernel.signalling { () async in await recover() }
    }
  }

  /// Lets every channel go without a word to the hardware.
  func forgetChannels() { channels = [] }

  private var registers: RegisterAccess { fifo.device.registers }

  /// The PMC bits on which its engines interrupt.
  var interruptMask: UInt32 {
    engines.reduce(0) { $1.interrupt < 32 ? $0 | 1 << $1.interrupt : $0 }
  }

  func destroy() async {
    invariant(channels.isEmpty, "runlist \(id) goes with \(channels.count) channels")
    if let recovery { await fifo.recoveryQueue.disable(recovery) }
    recovery = nil
    if let list { fifo.memory.free(list) }
    list = nil
  }

  // MARK: the list

  /// Puts a channel on the list and waits until the host has it. `ENOMEM` without a place for the
  /// list, `EIO` when the host doesn't take it.
  ///
  /// Kernel: nvkm_chan_insert (nvkm/engine/fifo/chan.c)
  func insert(_ channel: Channel) async throws(KernelError) {
    if list == nil {
      // Two entries a channel; the address is in units of 4 KiB.
      let bytes = fifo.channels.count * 2 * NV_RAMRL.ENTRY_byteCount
      list = try fifo.memory.allocate(bytes: bytes, zeroed: false)
    }
    await lock.lock()
    defer { lock.unlock() }
    channels.append(channel)
    guard await commit() else {
      channels.removeAll { $0 === channel }
      throw .EIO
    }
  }

  /// Takes a channel off the list, off the host and off its engine, and waits for it. One that
  /// recovery took off the list may still be loaded.
  ///
  /// Kernel: nvkm_chan_remove, nvkm_chan_preempt_locked (nvkm/engine/fifo/chan.c)
  func remove(_ channel: Channel) async {
    await lock.lock()
    defer { lock.unlock() }
    requestPreempt(channel)
    if !(await waitForPreempt(channel)) {
      // An engine that doesn't let go is reset, and then lets go.
      await resetEngines { $0 == channel.id }
      // It may have faulted again after recovery took it off the list; nobody else clears that.
      clearFault()
      requestPreempt(channel)
      _ = await waitForPreempt(channel)
    }
    guard channels.contains(where: { $0 === channel }) else { return }
    channels.removeAll { $0 === channel }
    _ = await commit()
  }

  /// Writes the list and submits it; false when the host didn't take it within 10 s.
  ///
  /// Kernel: nv50_runl_update, gk104_runl_commit, nv50_runl_wait (nvkm/engine/fifo/nv50.c, gk104.c)
  func commit() async -> Bool {
    typealias P = NV_PFIFO
    guard let list else { return true }
    // One buffer serves: it isn't touched while the host still reads it.
    guard await waitForSubmission() else { return false }
    var offset = 0
    for channel in channels {
      for (low, high) in [
        NV_RAMRL.group(tsgid: channel.id, channels: 1),
        NV_RAMRL.channel(chid: channel.id, instance: channel.instanceAddress.rawValue),
      ] {
        list.write32(low, offset)
        list.write32(high, offset + 4)
        offset += NV_RAMRL.ENTRY_byteCount
      }
    }
    registers.write(
      P.RUNLIST_BASE,
      P.RUNLIST_BASE_TARGET.make32(NV_TARGET.VID_MEM)
        | P.RUNLIST_BASE_PTR.make32(UInt32(list.address.rawValue >> 12)))
    registers.write(
      P.RUNLIST,
      P.RUNLIST_ID.make32(id) | P.RUNLIST_LENGTH.make32(UInt32(2 * channels.count)))
    return await waitForSubmission()
  }

  private func waitForSubmission() async -> Bool {
    typealias P = NV_PFIFO
    let done = await fifo.device.wait(
      HardwareLimit.runlist,
      until: { P.ENG_RUNLIST_PENDING.get(registers.read(P.ENG_RUNLIST(id))) == 0 })
    if !done { fifo.device.log.error("fifo", "runlist \(id) update timed out") }
    return done
  }

  /// Asks the host to put a channel's group down.
  ///
  /// Kernel: gk110_cgrp_preempt (nvkm/engine/fifo/gk110.c)
  func requestPreempt(_ channel: Channel) {
    typealias P = NV_PFIFO
    registers.write(
      P.PREEMPT,
      P.PREEMPT_TYPE.make32(P.PREEMPT_TYPE_TSG) | P.PREEMPT_ID.make32(channel.id))
  }

  /// Waits until the host did; false after 2 s.
  ///
  /// Kernel: nvkm_runl_preempt_wait, gf100_runl_preempt_pending (nvkm/engine/fifo/runl.c, gf100.c)
  private func waitForPreempt(_ channel: Channel) async -> Bool {
    typealias P = NV_PFIFO
    let done = await fifo.device.wait(
      HardwareLimit.operation,
      until: { P.PREEMPT_PENDING.get(registers.read(P.PREEMPT)) == 0 })
    if !done { fifo.device.log.error("fifo", "channel \(channel.id) preempt timed out") }
    return done
  }

  // MARK: blocking

  /// Kernel: nvkm_runl_block, gk104_runl_block (nvkm/engine/fifo/runl.c, gk104.c)
  func block() {
    blockCount += 1
    if blockCount == 1 { registers.modify(NV_PFIFO.SCHED_DISABLE, 1 << id, 1 << id) }
  }

  /// Kernel: nvkm_runl_allow, gk104_runl_allow (nvkm/engine/fifo/runl.c, gk104.c)
  func allow() {
    invariant(blockCount > 0, "runlist \(id) allowed more often than blocked")
    blockCount -= 1
    if blockCount == 0 { registers.modify(NV_PFIFO.SCHED_DISABLE, 1 << id, 0) }
  }

  // MARK: recovery

  /// Stops the list and has the recovery of a channel's group run. Atomic context.
  ///
  /// Kernel: nvkm_runl_rc_cgrp, nvkm_runl_rc_runl (nvkm/engine/fifo/runl.c)
  func scheduleRecovery(of channel: Channel) {
    guard let recovery, channel.recovery == .none, channels.contains(where: { $0 === channel })
    else { return }
    channel.recovery = .pending
    fifo.device.log.error("fifo", "channel \(channel.id) (\(channel.name)): rc scheduled")
    block()
    pendingRecoveries += 1
    fifo.recoveryQueue.queue(recovery)
  }

  /// Sleeps until no recovery is pending or running.
  func flushRecovery() async {
    if let recovery { await fifo.recoveryQueue.flush(recovery) }
  }

  /// Takes flagged channels off the list, resets the engines that are still on them, submits the
  /// list and lets it be scheduled again. Until then no channel of the list goes on, so all this is
  /// a signalling section.
  ///
  /// Kernel: nvkm_runl_rc, nvkm_runl_work (nvkm/engine/fifo/runl.c)
  private func recover() async {
    await lock.lock()
    defer { lock.unlock() }
    let count = pendingRecoveries
    pendingRecoveries = 0
    guard count > 0 else { return }
    let flagged = channels.filter { $0.recovery == .pending }
    for channel in flagged {
      channel.recovery = .running
      channel.fail(.EIO)
    }
    channels.removeAll { $0.recovery == .running }
    await resetEngines { id in flagged.contains { $0.id == id } }
    _ = await commit()
    clearFault()
    for _ in 0..<count { allow() }
    _ = await waitForSubmission()
    for channel in flagged { channel.recovery = .done }
  }

  /// Lets the host schedule again what it blocked by itself at a fault.
  ///
  /// Kernel: gk104_runl_fault_clear (nvkm/engine/fifo/gk104.c)
  private func clearFault() { registers.write(NV_PFIFO.ERROR_SCHED_DISABLE, 1 << id) }

  /// Resets each engine that is on a group for which `isFlagged` holds.
  ///
  /// Kernel: nvkm_engine_reset, gk104_engn_cxid (core/engine.c, gk104.c)
  func resetEngines(_ isFlagged: (UInt32) -> Bool) async {
    for engine in engines {
      guard let group = EngineStatus(registers, engine.engine)?.group, isFlagged(group),
        engine.reset < 32
      else { continue }
      fifo.device.log.error("fifo", "engine \(engine.engine) reset")
      fifo.device.resetUnit(1 << engine.reset)
      await fifo.reinitialize?(engine)
    }
  }
}
