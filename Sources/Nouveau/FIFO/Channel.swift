package import Base
package import KernelRuntime
import NVHardware

/// A channel: a ring of push buffer segments that the host reads and executes
/// (`struct nouveau_channel` with its `struct nvkm_chan`).
///
/// LOCKING: ``lock`` around use of the push buffer. Killing needs no lock and works in an
/// interrupt.
package final class Channel {
  let device: NVKMDevice
  let fifo: FIFO
  package let runlist: Runlist
  package let name: String
  package let id: UInt32
  /// Whether physical copies are allowed (N07).
  package let isPrivileged: Bool
  package let space: GPUAddressSpace
  let instance: InstanceObject
  /// Where engines that keep a channel's state themselves save it.
  private let contexts: [EngineContext]
  /// For a copy class without physical addresses; set for the channel that moves memory.
  var copyWindow: CopyWindow?
  let fenceWait: FenceWaitMode
  let ring: PushRing
  package let lock: SleepingLock
  /// Its fences; `nouveau_fence_chan`.
  package private(set) var fences: FenceContext
  /// Why the channel was killed; nil while it works.
  package private(set) var killError: KernelError?
  /// How far the host's recovery of this channel is.
  var recovery = Recovery.none
  /// Whether it stands on the runlist and its instance block is bound.
  private(set) var isBound = false
  /// Counts lives: 1 at creation, one more with each rebuild.
  package internal(set) var generation = 1

  enum Recovery {
    case none
    case pending
    case running
    case done
  }

  /// Kernel: nouveau_channel_new, nouveau_channel_prep, nouveau_channel_ctor (nouveau_chan.c)
  init(
    _ fifo: FIFO, _ runlist: Runlist, name: String, space: GPUAddressSpace, isPrivileged: Bool,
    options: DriverOptions, storage: FenceStorage, bar1: BAR1
  ) async throws(KernelError) {
    self.fifo = fifo
    self.runlist = runlist
    self.name = name
    self.space = space
    self.isPrivileged = isPrivileged
    fenceWait = options.fenceWait
    device = fifo.device
    lock = SleepingLock(device.kernel, .channel)
    let teardown = TeardownStack()
    do throws(KernelError) {
      id = try fifo.allocateID()
      let memory = fifo.memory
      let block = try memory.allocate(bytes: NV_RAMIN.byteCount)
      teardown.push("instance") { memory.free(block) }
      instance = block
      let made = try await PushRing(device, space, bar1, options)
      teardown.push("ring") { await made.destroy() }
      ring = made
      var contexts: [EngineContext] = []
      for engine in runlist.engines {
        guard let layout = device.chip.contextLayout(of: engine) else { continue }
        let context = try await EngineContext(
          space, bytes: layout.byteCount, block, pointer: layout.pointer)
        teardown.push("engine context") { await context.destroy() }
        contexts.append(context)
      }
      self.contexts = contexts
      fences = try await FenceContext(device, storage, fifo, id: id, name: name, space: space)
    } catch {
      await teardown.run()
      throw error
    }
    space.join(instance)
    fences.channel = self
  }

  /// Where its instance block lies; faults and interrupts name the channel so.
  package var instanceAddress: VRAMAddress { instance.address }
  package var isKilled: Bool { killError != nil }

  // MARK: starting and stopping

  /// Resets the ring and has the host schedule the channel.
  ///
  /// Kernel: nvkm_uchan_init, nvkm_chan_allow, nvkm_chan_insert (nvkm/engine/fifo/uchan.c, chan.c)
  func start() async throws(KernelError) {
    ring.reset()
    fifo.userd.clear(id)
    writeRAMFC()
    for context in contexts { context.clear() }
    bind()
    do throws(KernelError) {
      try await runlist.insert(self)
    } catch {
      unbind()
      throw error
    }
    enable()
  }

  /// Takes the channel from the host; its memory is then the driver's again.
  ///
  /// Kernel: nvkm_uchan_fini (nvkm/engine/fifo/uchan.c)
  func stop() async {
    guard isBound else { return }
    disable()
    await runlist.flushRecovery()
    await runlist.remove(self)
    unbind()
  }

  /// Kernel: gk104_chan_ramfc_write (nvkm/engine/fifo/gk104.c)
  private func writeRAMFC() {
    typealias R = NV_RAMFC
    let userd = fifo.userd.address(id).rawValue
    let base = ring.ringAddress.rawValue
    let words: [(Int, UInt32)] = [
      (R.GP_PUT, 0),
      (R.USERD_LO, UInt32(truncatingIfNeeded: userd)),
      (R.USERD_HI, UInt32(truncatingIfNeeded: userd >> 32)),
      (R.SIGNATURE, R.SIGNATURE_WILDCARD),
      (R.GP_GET, 0),
      (R.GET_LO, 0),
      (R.GET_HI, 0),
      (R.ACQUIRE, 0xffff_f902),
      (R.GP_BASE_LO, UInt32(truncatingIfNeeded: base)),
      (
        R.GP_BASE_HI,
        R.GP_BASE_HI_OFFSET.make32(UInt32(base >> 32))
          | R.GP_BASE_HI_LIMIT2.make32(UInt32(ring.entryCount.trailingZeroBitCount))
      ),
      (R.PB_HEADER, 0x2040_0000),
      (R.SUBDEVICE, 0x3000_0000 | R.SUBDEVICE_ID.make32(1)),
      (R.SEM_PAYLOAD_HI, 0x100),
      (R.TARGET, 0x1f),
      (R.HCE_CTRL, R.HCE_CTRL_PRIV_MODE.make32(isPrivileged ? 1 : 0)),
      (R.CHANNEL_INFO, id),
      // SOURCE: gk104_chan_ramfc_write; the manuals don't name the word.
      (0xb8, 0xf800_0000),
      (R.RUNLIST_TIMESLICE, 0x1000_3080),
      (R.PB_TIMESLICE, 0x1000_0010),
    ]
    for (offset, word) in words { instance.write32(word, offset) }
  }

  /// Kernel: gk104_chan_bind (nvkm/engine/fifo/gk104.c)
  private func bind() {
    typealias P = NV_PCCSR
    device.registers.modify(
      P.CHANNEL(id), UInt32(P.CHANNEL_RUNLIST.mask), P.CHANNEL_RUNLIST.make32(runlist.id))
    device.registers.write(
      P.CHANNEL_INST(id),
      P.CHANNEL_INST_BIND.make32(1)
        | P.CHANNEL_INST_PTR.make32(UInt32(instance.address.rawValue >> 12)))
    isBound = true
  }

  /// Kernel: gk104_chan_unbind (nvkm/engine/fifo/gk104.c)
  private func unbind() {
    device.registers.write(NV_PCCSR.CHANNEL_INST(id), 0)
    isBound = false
  }

  /// Kernel: gk104_chan_start (nvkm/engine/fifo/gk104.c)
  private func enable() {
    let bit = NV_PCCSR.CHANNEL_ENABLE_SET.make32(1)
    device.registers.modify(NV_PCCSR.CHANNEL(id), bit, bit)
  }

  /// Kernel: gk104_chan_stop (nvkm/engine/fifo/gk104.c)
  private func disable() {
    let bit = NV_PCCSR.CHANNEL_ENABLE_CLR.make32(1)
    device.registers.modify(NV_PCCSR.CHANNEL(id), bit, bit)
  }

  // MARK: killing

  /// Stops the channel for good: its fences end with `error`, and what follows gets `ENODEV`. A
  /// second call changes nothing. Atomic context.
  ///
  /// With `trustsMemory` false, fences whose work the hardware may have skipped fail although their
  /// number has been written: after an engine's error a later release may still be carried out.
  ///
  /// Kernel: nouveau_channel_kill, nouveau_channel_killed (nouveau_chan.c)
  package func kill(_ error: KernelError, trustsMemory: Bool = true) {
    guard killError == nil else { return }
    killError = error
    device.log.error("drm", "channel \(id) killed: \(error)")
    device.kernel.trace.record(.channelKill, UInt64(id), UInt64(error.errno))
    fences.kill(error, trustsMemory: trustsMemory)
  }

  /// Stops the channel in the hardware and kills it. Atomic context.
  ///
  /// Kernel: nvkm_chan_error (nvkm/engine/fifo/chan.c)
  func fail(_ error: KernelError, trustsMemory: Bool = true) {
    if killError == nil {
      device.log.error("fifo", "channel \(id) (\(name)): errored - disabling channel")
    }
    disable()
    kill(error, trustsMemory: trustsMemory)
  }

  /// Kills the channel and waits until neither the host nor an engine works for it: what it was
  /// told to write is not written any more, and memory it used may be given away (X11).
  package func quiesce(_ error: KernelError = .EIO) async {
    fail(error)
    await lock.lock()
    await stop()
    lock.unlock()
  }

  /// Makes a killed channel usable again: off the host, ring empty, a new life of the same id. What
  /// was in it is lost, and its fences have failed. Kills it first if nobody has.
  ///
  /// The kernel does without: a channel of its own that dies stays dead until the module is loaded
  /// again.
  package func rebuild(_ error: KernelError = .EIO) async throws(KernelError) {
    guard !device.isLost else { throw .ENODEV }
    fail(error)
    await lock.lock()
    defer { lock.unlock() }
    // Another task may have done it while this one waited for the lock.
    guard isKilled else { return }
    await runlist.flushRecovery()
    await stop()
    // What the old life still had to report must not be taken for the new one's.
    device.serviceInterrupts()
    recovery = .none
    guard !device.isLost else { throw .ENODEV }
    try await start()
    fences.revive()
    killError = nil
    generation += 1
    do throws(KernelError) {
      try await bindObject()
    } catch {
      // Methods without their object would stop the host at the next copy: dead until the next try.
      fail(error)
      throw error
    }
  }

  /// Gives everything back. Fences that the hardware doesn't complete end with `ECANCELED`.
  ///
  /// While the device sleeps the channel isn't on the host, and a fence would wait in vain.
  ///
  /// Kernel: nouveau_channel_del (nouveau_chan.c)
  package func destroy() async {
    if isBound && !isKilled && !device.isLost { _ = await idle() }
    fences.stopEvents()
    if fences.isIdle { killError = .ENODEV } else { kill(.ECANCELED) }
    await stop()
    await fences.destroy()
    await ring.destroy()
    for context in contexts { await context.destroy() }
    fifo.memory.free(instance)
    fifo.unregister(self)
  }

  /// Waits until everything pushed so far has been executed.
  ///
  /// Kernel: nouveau_channel_idle (nouveau_chan.c)
  package func idle() async -> KernelError? {
    do throws(KernelError) {
      try await NouveauFence.emit(on: self).wait()
      return nil
    } catch {
      device.log.error("drm", "failed to idle channel \(id) [\(name)]: \(error)")
      return error
    }
  }
}
