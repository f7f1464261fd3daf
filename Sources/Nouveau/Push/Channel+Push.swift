package import Base
import KernelRuntime
import NVHardware

extension Channel {
  /// A ring whose host doesn't move for this long is taken to be stuck; nanoseconds.
  static let ringLimit: UInt64 = 15_000_000_000

  /// Writes up to `dwords` of methods and hands them to the host in one segment.
  ///
  /// Sleeps while there is no room. `ENODEV` when the channel was killed or the device is gone,
  /// `EBUSY` when the host hasn't moved for 15 s, `EINVAL` for more than the buffer can ever hold.
  /// Passes `nouveau.ring_space`. On an error the body hasn't run.
  ///
  /// Kernel: PUSH_WAIT … PUSH_KICK, nouveau_channel_wait, nouveau_channel_kick (nouveau_chan.c)
  @discardableResult
  package func withPush<T>(dwords: Int, _ body: (inout PushWriter) -> T) async throws(KernelError)
    -> T
  {
    await lock.lock()
    defer { lock.unlock() }
    var writer = try await reserve(dwords)
    let result = body(&writer)
    kick(writer)
    return result
  }

  /// LOCKING: ``lock`` held. Between this and ``kick(_:)`` nothing sleeps, so no kill can fall
  /// between.
  func reserve(_ dwords: Int) async throws(KernelError) -> PushWriter {
    guard killError == nil && !device.isLost else { throw .ENODEV }
    guard dwords <= ring.maximumDwords else { throw .EINVAL }
    // Room comes when earlier work is done: in effect a wait for its fence.
    if let me = device.kernel.currentTask {
      device.kernel.lockChecks.mightWaitForFence(me, behindFaults: space.isReplayable)
    }
    try device.kernel.failures.check(.ringSpace)
    if !ring.reserve(dwords) { try await waitForRoom(dwords) }
    return PushWriter(ring.memory, from: ring.head, dwords: dwords)
  }

  /// Kernel: nv50_dma_wait, nouveau_dma_wait (nouveau_dma.c)
  // QUIRK(nouveau): the kernel spins about 100 ms without sleeping; here it sleeps, and the limit
  // is that of fences.
  private func waitForRoom(_ dwords: Int) async throws(KernelError) {
    let kernel = device.kernel
    let start = kernel.now
    var limit = start &+ Self.ringLimit
    var pause: UInt64 = 1_000
    var last = ring.gpGet
    while true {
      let get = fifo.userd.readGPGet(id)
      // All ones isn't a place in the ring: the device may have gone.
      if get == .max, !device.checkPresence() { throw .ENODEV }
      ring.advance(to: get, reading: fifo.userd.readGet(id))
      if ring.reserve(dwords) { break }
      if ring.gpGet != last {
        last = ring.gpGet
        limit = kernel.now &+ Self.ringLimit
        pause = 1_000
      }
      if kernel.now >= limit {
        device.log.error("drm", "channel \(id) ring stuck at \(last)")
        throw .EBUSY
      }
      await kernel.sleep(pause)
      pause = min(2 * pause, 1_000_000)
      if killError != nil || device.isLost { throw .ENODEV }
    }
    kernel.trace.span(.ringWait, since: start, UInt64(id), UInt64(dwords))
  }

  /// Publishes what was written: ring entry, then GP_PUT, which on Pascal is the doorbell.
  ///
  /// Kernel: nv50_dma_push (nouveau_dma.c)
  @inline(__always)
  func kick(_ writer: PushWriter) {
    guard let (dwords, put) = ring.submit(writer) else { return }
    fifo.userd.writeGPPut(id, put)
    device.kernel.trace.record(.channelKick, UInt64(id), UInt64(dwords), UInt64(put))
  }

  /// Tells the channel which class its copy subchannel speaks.
  ///
  /// Kernel: nve0_bo_move_init (nouveau_boa0b5.c)
  func bindObject() async throws(KernelError) {
    let copy = device.chip.copyMethods
    let engine = runlist.engines.first { $0.type == NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE }
    let classID = engine.map { device.chip.copyClass(of: $0) } ?? copy.classID
    var writer = try await reserve(2)
    writer.method(
      copy.subchannel, ClassC06F.SET_OBJECT, ClassC06F.SET_OBJECT_NVCLASS.make32(classID))
    kick(writer)
  }
}
