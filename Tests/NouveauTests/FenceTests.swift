import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct FenceTests {
  @Test func emit_writesSixDwords_releaseThenInterrupt() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      guard case .coherent(let buffer) = channel.ring.memory else { throw .EINVAL }
      let start = channel.ring.head
      let fence = try await NouveauFence.emit(on: channel)
      let words = (0..<6).map { buffer.load(UInt32.self, at: start + 4 * $0) }
      let address = channel.fences.wordAddress.rawValue
      #expect(
        words == [
          0x2005_0004, UInt32(address >> 32), UInt32(truncatingIfNeeded: address),
          UInt32(fence.fence.seqno), 2, 0,
        ])
      bench.gpu.release()
      try await fence.wait()
    }
  }

  @Test func fences_signalInOrder_andNoneBeforeItsWork() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.isHeld = true
      var fences: [NouveauFence] = []
      for _ in 0..<4 { fences.append(try await NouveauFence.emit(on: device.copyChannel)) }
      #expect(fences.map(\.isDone) == [false, false, false, false])
      device.fenceStorage.write(UInt32(fences[1].fence.seqno), device.copyChannel.id)
      #expect(fences.map(\.isDone) == [true, true, false, false])
      #expect(device.copyChannel.fences.pendingCount == 2)
      bench.gpu.release()
      try await fences[3].wait()
      #expect(fences.map(\.isDone) == [true, true, true, true])
    }
  }

  @Test func sequence_startsFromTheWordInMemory_andWraps() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      // A channel of the id that the next one gets, whose last fence was three before the wrap.
      device.fenceStorage.write(.max - 2, 1)
      let channel = try await device.makeChannel("wrap", space: device.kernelSpace)
      #expect(channel.id == 1)
      var numbers: [UInt64] = []
      for _ in 0..<6 {
        let fence = try await NouveauFence.emit(on: channel)
        numbers.append(fence.fence.seqno)
        try await fence.wait()
      }
      #expect(numbers == [0xffff_fffe, 0xffff_ffff, 0, 1, 2, 3])
      await channel.destroy()
      // One more says that the channel was idle.
      #expect(device.fenceStorage.read(1) == 4)
    }
  }

  @Test func waiting_acrossTheWrap_isNotEndedByOlderNumbers() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      device.fenceStorage.write(.max, 1)
      let channel = try await device.makeChannel("wrap", space: device.kernelSpace)
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: channel)
      #expect(fence.fence.seqno == 0)
      #expect(!fence.isDone)
      bench.gpu.release()
      try await fence.wait()
      await channel.destroy()
    }
  }

  @Test(arguments: [FenceWaitMode.interrupt, .polling])
  func wait_onAHungEngine_timesOutAfter15Seconds(_ mode: FenceWaitMode) throws {
    let bench = try Bench()
    var options = DriverOptions()
    options.fenceWait = mode
    try bench.withDevice(options) { device throws(KernelError) in
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      let start = device.kernel.now
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .ETIMEDOUT)
      #expect(device.kernel.now - start >= 15_000_000_000)
      #expect(device.kernel.now - start < 15_010_000_000)
      #expect(fence.fence.status == .pending)
      // The engine may still do it.
      bench.gpu.release()
      try await fence.wait()
      #expect(fence.fence.status == .signaled)
    }
  }

  @Test func polling_needsNoInterrupt() throws {
    let bench = try Bench()
    var options = DriverOptions()
    options.fenceWait = .polling
    try bench.withDevice(options) { device throws(KernelError) in
      bench.gpu.losesInterrupts = true
      try await NouveauFence.emit(on: device.copyChannel).wait()
      #expect(device.kernel.now < 10_000)
    }
  }

  /// The lazy wait looks after 1, 2, 4 … µs and then once a millisecond: an end is noticed soon,
  /// and a long wait costs few looks.
  @Test(arguments: [500, 3_000, 100_000, 5_000_000, 200_000_000] as [UInt64])
  func polling_backsOff(_ delay: UInt64) throws {
    let bench = try Bench()
    var options = DriverOptions()
    options.fenceWait = .polling
    try bench.withDevice(options) { device throws(KernelError) in
      bench.gpu.losesInterrupts = true
      bench.gpu.storeDelay = delay
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      let start = device.kernel.now
      let accesses = bench.gpu.accessCount
      try await fence.wait()
      let slept = device.kernel.now - start
      #expect(slept <= min(2 * delay + 1_000, delay + 1_000_000))
      // 10 looks until the pauses are 1 ms long; the last asks for errors of the engine as well.
      let looks = UInt64(bench.gpu.accessCount - accesses)
      #expect(looks <= 13 + delay / 1_000_000, "\(looks) looks in \(slept) ns")
      bench.gpu.storeDelay = 0
    }
  }

  /// F13: a lost interrupt costs a millisecond, not the time-out.
  @Test func lostInterrupt_isFoundByTheRecheck() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.losesInterrupts = true
      let start = device.kernel.now
      try await NouveauFence.emit(on: device.copyChannel).wait()
      #expect(device.kernel.now - start <= FenceContext.overdue)
    }
  }

  /// F08: the interrupt comes before the store; nothing else would wake the waiter.
  @Test(arguments: [500, 3_000, 40_000, 900_000] as [UInt64])
  func earlyInterrupt_isFollowedByASecondLook(_ delay: UInt64) throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.storeDelay = delay
      let start = device.kernel.now
      try await NouveauFence.emit(on: device.copyChannel).wait()
      // The looks come after 1, 3, 7, … µs, so at most twice as late as the store.
      #expect(device.kernel.now - start <= 2 * delay + 2_000)
      bench.gpu.storeDelay = 0
    }
  }

  /// F02, and R: a fence is never left pending on a dead channel.
  @Test func emit_afterKill_isRefused() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      let before = channel.fences.sequence
      channel.kill(.EIO)
      let error = await KernelError.of { () throws(KernelError) in
        _ = try await NouveauFence.emit(on: channel)
      }
      #expect(error == .ENODEV)
      #expect(channel.fences.sequence == before)
      #expect(channel.fences.pendingCount == 0)
    }
  }

  /// F03: a fence that is done, but that nobody has looked at, keeps its success in a kill.
  @Test func kill_sparesWhatIsDone() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      let first = try await NouveauFence.emit(on: channel)
      let second = try await NouveauFence.emit(on: channel)
      let third = try await NouveauFence.emit(on: channel)
      device.fenceStorage.write(UInt32(second.fence.seqno), channel.id)
      // Signalled by a peek and still listed.
      #expect(first.fence.isSignaled)
      channel.kill(.EIO)
      #expect(
        [first, second, third].map(\.fence.status) == [.signaled, .signaled, .failed(.EIO)])
      channel.kill(.ENODEV)
      #expect(third.fence.status == .failed(.EIO))
    }
  }

  /// F01: at every place where an emit can fail, nothing was used up and nothing is left.
  @Test(arguments: [InjectionPoint.fenceAlloc, .fenceEmit, .ringSpace])
  func emit_thatFails_changesNothing(_ point: InjectionPoint) throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      let before = (channel.fences.sequence, channel.ring.gpPut, channel.ring.head)
      bench.kernel.failures.arm(point, .nth(1))
      let error = await KernelError.of { () throws(KernelError) in
        _ = try await NouveauFence.emit(on: channel)
      }
      #expect(error == point.errors.first)
      #expect((channel.fences.sequence, channel.ring.gpPut, channel.ring.head) == before)
      #expect(channel.fences.pendingCount == 0)
      try await NouveauFence.emit(on: channel).wait()
    }
  }

  /// F07: an interrupt after the context has gone reaches nobody.
  @Test func interruptAfterTeardown_doesNothing() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = try await device.makeChannel("short", space: device.kernelSpace)
      let fence = try await NouveauFence.emit(on: channel)
      channel.fences.notify()
      channel.fences.stopEvents()
      bench.gpu.raise(NV_PFIFO.INTR_0, 1 << 31)
      channel.fences.notify()
      await channel.destroy()
      #expect(fence.fence.status != .pending)
      await device.kernel.sleep(1_000_000)
    }
  }

  /// F05: workers that all wait for the fence can't keep it from signalling.
  @Test func waitersOnAWorkQueue_dontStarveTheSignal() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      let queue = WorkQueue(device.kernel, "events", maxActive: 2)
      var ended = 0
      let works = (0..<4).map { index in
        Work("waiter \(index)") {
          _ = await fence.fence.wait(timeout: NouveauFence.limit)
          ended += 1
        }
      }
      for work in works { queue.queue(work) }
      await device.kernel.sleep(10_000)
      bench.gpu.release()
      await queue.flush()
      #expect(ended == 4)
      #expect(device.kernel.now < 1_000_000)
    }
  }

  @Test func nonStallInterrupt_isOnlyOnWhileSomebodyWaits() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let bit: UInt32 = 1 << 31
      #expect(bench.gpu.peek(NV_PFIFO.INTR_EN_0) & bit == 0)
      try await NouveauFence.emit(on: device.copyChannel).wait()
      let unwaited = try await NouveauFence.emit(on: device.copyChannel)
      await device.kernel.sleep(100)
      #expect(bench.gpu.peek(NV_PFIFO.INTR_EN_0) & bit == 0)
      #expect(unwaited.isDone)
    }
  }

  @Test func namesOfAFence_outliveItsChannel() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = try await device.makeChannel("short", space: device.kernelSpace)
      let fence = try await NouveauFence.emit(on: channel)
      try await fence.wait()
      await channel.destroy()
      #expect(fence.fence.driverName == "nouveau")
      #expect(fence.fence.timelineName == "short")
    }
  }
}
