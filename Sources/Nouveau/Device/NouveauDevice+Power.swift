public import Base
import DeviceSeam
import KernelRuntime
import NVHardware

extension NouveauDevice {
  /// Puts the device to sleep: its memory loses power. Clients first, then buffers to system
  /// memory, then channels, fence words and instance memory.
  ///
  /// On an error the device stays awake, and what was put to sleep before comes back. What can't,
  /// such as a buffer whose copy fails too, is told the reason and tried again by ``resume()``.
  ///
  /// `EINVAL` unless the device is running, `ENODEV` when it is lost, `ENOMEM` when system memory
  /// can't hold what VRAM holds, or the error of a client or of the copy.
  ///
  /// Kernel: nouveau_pmops_suspend, nouveau_do_suspend (nouveau_drm.c)
  public func suspend() async throws(KernelError) {
    await stateLock.lock()
    defer { stateLock.unlock() }
    guard state == .running else { throw .EINVAL }
    guard !device.isLost else { throw .ENODEV }
    let began = kernel.now
    var asleep: [any DeviceClient] = []
    do throws(KernelError) {
      for client in clients.reversed() {
        try await client.suspend()
        asleep.append(client)
      }
      try await mover.evictAll()
      for channel in fifo.liveChannels where !channel.isKilled {
        if let error = await channel.idle() { throw error }
      }
    } catch {
      await stayAwake(asleep.reversed())
      throw error
    }
    await stopUnits()
    state = .suspended
    hasSleepers = false
    kernel.trace.span(.deviceSuspend, since: began)
  }

  /// A suspend has failed: wakes who was put to sleep for it.
  private func stayAwake(_ asleep: [any DeviceClient]) async {
    do throws(KernelError) {
      try await wake(asleep)
    } catch {
      for client in asleep { client.resumeFailed(error) }
    }
  }

  /// Stops every unit and keeps what VRAM holds of theirs; a copy that is kept already stays as it
  /// is, so that this also ends a resume that got half way.
  private func stopUnits() async {
    fenceStorage.save(channels: options.channels)
    for channel in fifo.liveChannels { await channel.suspend() }
    faultBuffer?.suspend()
    interrupts.stop()
    for engine in copyEngines { engine.finish() }
    fifo.finish()
    bar1.unbind()
    instanceMemory.save()
    function.disable()
  }

  /// Wakes the device: the units as at bring-up, then memory, channels and clients as they were.
  ///
  /// On an error the device stays asleep and may be woken again or shut down; tasks that waited for
  /// it get the error. A buffer that finds no place stays in system memory, and its next use says
  /// so. `EINVAL` when nothing sleeps.
  ///
  /// Kernel: nouveau_pmops_resume, nouveau_do_resume (nouveau_drm.c)
  public func resume() async throws(KernelError) {
    await stateLock.lock()
    defer { stateLock.unlock() }
    guard state == .suspended || state == .running && hasSleepers else { throw .EINVAL }
    let began = kernel.now
    do throws(KernelError) {
      if state == .suspended { try await wakeUnits() }
      try await wake(clients)
    } catch {
      for client in clients { client.resumeFailed(error) }
      throw error
    }
    kernel.trace.span(.deviceResume, since: began)
  }

  private func wakeUnits() async throws(KernelError) {
    do throws(KernelError) {
      try await startUnits()
    } catch {
      await stopUnits()
      // What ran there since before the suspend waits for a replay that doesn't come any more.
      stopGraphics()
      throw error
    }
    state = .running
  }

  /// Holds the graphics engine in reset: what processes run there ends at once, and nothing new
  /// begins. An access that waits for a replay would wait for ever once nobody reads the buffer.
  ///
  /// Works on a device that sleeps, whose function still answers.
  /// Kernel: nvkm_gr_fini, nvkm_mc_disable (nvkm/engine/gr/base.c, nvkm/subdev/mc/base.c)
  private func stopGraphics() {
    guard !device.isLost else { return }
    device.registers.modify(NV_PMC.ENABLE, NV_PMC.ENABLE_PGRAPH.make32(1), 0)
  }

  private func startUnits() async throws(KernelError) {
    try function.enable()
    guard device.checkPresence() else { throw .ENODEV }
    let registers = device.registers
    guard try ChipIdentity(probing: registers).boot0 == device.identity.boot0,
      device.chip.isPosted(registers)
    else { throw .EIO }
    Self.initializeCore(registers)
    device.chip.initializeMemoryHub(registers, flushPage: flushPage.address)
    instanceMemory.restore()
    try await bar1.bind()
    fifo.initialize()
    for engine in copyEngines { try await engine.initialize() }
    fenceStorage.restore()
    for channel in fifo.liveChannels { try await channel.resume() }
    try await faultBuffer?.resume()
    try interrupts.start()
  }

  /// Buffers and clients; those that can't be woken are tried again by the next resume.
  private func wake(_ sleepers: [any DeviceClient]) async throws(KernelError) {
    var failure: KernelError?
    // Nobody holds such a buffer in place; a client that needs it fails for this reason.
    var looseError: KernelError?
    for buffer in buffers.buffers {
      do throws(KernelError) {
        try await mover.restore(buffer)
      } catch {
        device.log.error("drm", "a buffer of \(buffer.size) bytes stays in system memory: \(error)")
        if buffer.pinCount > 0 { failure = error } else { looseError = error }
      }
    }
    for client in sleepers {
      do throws(KernelError) {
        try await client.resume()
      } catch {
        failure = failure ?? looseError ?? error
      }
    }
    hasSleepers = failure != nil
    if let failure { throw failure }
  }

  /// Brings a buffer back to VRAM that resume had to leave in system memory.
  package func validate(_ buffer: BufferObject) async throws(KernelError) {
    guard state == .running else { throw .ENODEV }
    try await mover.restore(buffer)
  }

  private var mover: BufferMover {
    BufferMover(channel: copyChannel, dma: device.pci.dma, manager: buffers)
  }

  /// Ends the driver's use of the device and gives everything back; works on a device that is
  /// asleep or lost. A second call waits for the first and does nothing.
  ///
  /// Kernel: nouveau_drm_remove, nouveau_drm_device_fini (nouveau_drm.c)
  public func shutdown() async {
    await stateLock.lock()
    defer { stateLock.unlock() }
    guard state != .shutDown else { return }
    stopGraphics()
    for client in clients.reversed() { await client.release() }
    clients = []
    await closeFaultBuffer()
    state = .shutDown
    for channel in fifo.liveChannels where channel !== copyChannel { await channel.destroy() }
    for buffer in buffers.buffers where buffer !== fenceStorage.buffer {
      device.log.error("drm", "a buffer of \(buffer.size) bytes was not freed by its owner")
      while buffer.pinCount > 0 { buffer.unpin() }
      buffer.destroy()
    }
    await teardown.run()
  }
}

extension Channel {
  /// Takes the channel from the host; its ring is empty. Kills don't survive suspend.
  fileprivate func suspend() async {
    await lock.lock()
    await stop()
    lock.unlock()
  }

  /// Has a channel scheduled again that ``suspend()`` took away; a killed one stays dead.
  fileprivate func resume() async throws(KernelError) {
    guard !isKilled else { return }
    await lock.lock()
    defer { lock.unlock() }
    try await start()
    try await bindObject()
  }
}
