import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct RecoveryTests {
  private func copy(_ device: NouveauDevice, _ from: UInt64, _ to: UInt64)
    async
    throws(KernelError) -> NouveauFence
  {
    let methods = device.copyMethods
    return try await device.copyChannel.withFence(dwords: methods.copyDwords) { writer in
      methods.copyPages(
        &writer, from: .vram(VRAMAddress(from)), to: .vram(VRAMAddress(to)), pages: 2)
    }.fence
  }

  @Test func aCopy_movesBytes() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      for index in 0..<8192 { bench.gpu.vram.store(UInt8(index & 0xff), at: 0x100_0000 + index) }
      try await copy(device, 0x100_0000, 0x200_0000).wait()
      #expect(
        bench.gpu.vram.bytes(at: 0x200_0000, count: 8192)
          == bench.gpu.vram.bytes(at: 0x100_0000, count: 8192))
      #expect(bench.gpu.launches.last?.word == 0x3386)
    }
  }

  @Test func aClear_zeroesBytes_andNothingElse() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.vram.fill(0xaa, at: 0x100_0000, length: 0x3000)
      let methods = device.copyMethods
      let (_, fence) = try await device.copyChannel.withFence(dwords: methods.clearDwords) {
        methods.clear(&$0, to: .vram(VRAMAddress(0x100_1000)), bytes: 0x1000)
      }
      try await fence.wait()
      let bytes = bench.gpu.vram.bytes(at: 0x100_0000, count: 0x3000)
      #expect(bytes[..<0x1000].allSatisfy { $0 == 0xaa })
      #expect(bytes[0x1000..<0x2000].allSatisfy { $0 == 0 })
      #expect(bytes[0x2000...].allSatisfy { $0 == 0xaa })
      #expect(bench.gpu.launches.last?.word == 0x2586)
    }
  }

  /// The release behind a refused launch is written all the same; no fence may say success.
  @Test(arguments: [0, 2_000_000] as [UInt64])
  func aRefusedLaunch_failsItsFence(_ storeDelay: UInt64) throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let good = try await copy(device, 0x100_0000, 0x200_0000)
      try await good.wait()
      bench.gpu.launchesToRefuse = 1
      bench.gpu.storeDelay = storeDelay
      let bad = try await copy(device, 0x100_0000, 0x200_0000)
      let error = await KernelError.of { () throws(KernelError) in try await bad.wait() }
      #expect(error == .EIO)
      #expect(good.fence.status == .signaled)
      #expect(device.copyChannel.isKilled)
      #expect(device.copyEngines[0].errors == [.INVALID_ALIGNMENT])
      bench.gpu.storeDelay = 0
    }
  }

  @Test func aRefusedLaunch_whoseInterruptIsLost_neverSignalsSuccess() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.losesInterrupts = true
      bench.gpu.launchesToRefuse = 1
      let bad = try await copy(device, 0x100_0000, 0x200_0000)
      await device.kernel.sleep(10_000)
      #expect(!bad.isDone)
      let error = await KernelError.of { () throws(KernelError) in try await bad.wait() }
      #expect(error == .EIO)
      bench.gpu.losesInterrupts = false
    }
  }

  /// The release behind a refused launch is written, the error isn't served yet, and somebody else
  /// kills the channel: the fence must not end well.
  @Test func aKillBeforeTheErrorIsServed_failsTheFence() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let good = try await copy(device, 0x100_0000, 0x200_0000)
      try await good.wait()
      bench.gpu.losesInterrupts = true
      bench.gpu.launchesToRefuse = 1
      let bad = try await copy(device, 0x100_0000, 0x200_0000)
      await device.kernel.sleep(10_000)
      #expect(device.fenceStorage.read(device.copyChannel.id) == UInt32(bad.fence.seqno))
      device.copyChannel.kill(.ENODEV)
      #expect(bad.fence.status == .failed(.ENODEV))
      bench.gpu.losesInterrupts = false
      try await device.copyChannel.rebuild()
      try await copy(device, 0x100_0000, 0x200_0000).wait()
    }
  }

  @Test func aKilledChannel_worksAgainAfterARebuild() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      for life in 2..<5 {
        bench.gpu.launchesToRefuse = 1
        let bad = try await copy(device, 0x100_0000, 0x200_0000)
        let error = await KernelError.of { () throws(KernelError) in try await bad.wait() }
        #expect(error == .EIO)
        try await channel.rebuild()
        #expect(!channel.isKilled && channel.generation == life)
        let good = try await copy(device, 0x100_0000, 0x200_0000)
        #expect(good.fence.seqno > bad.fence.seqno)
        try await good.wait()
      }
    }
  }

  /// A copy without the object of its methods would stop the host: such a channel is still dead.
  @Test func rebuildThatCantBindTheObject_leavesTheChannelDead() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      channel.kill(.EIO)
      device.kernel.failures.arm(.ringSpace, .nth(1))
      let error = await KernelError.of { () throws(KernelError) in try await channel.rebuild() }
      #expect(error == .EBUSY && channel.isKilled)
      try await channel.rebuild()
      try await copy(device, 0x100_0000, 0x200_0000).wait()
    }
  }

  @Test func rebuild_ofAHungChannel_endsItsFences() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      let stuck = try await copy(device, 0x100_0000, 0x200_0000)
      let error = await KernelError.of { () throws(KernelError) in try await stuck.wait() }
      #expect(error == .ETIMEDOUT)
      try await channel.rebuild(.ETIMEDOUT)
      #expect(stuck.fence.status == .failed(.ETIMEDOUT))
      bench.gpu.release()
      try await NouveauFence.emit(on: channel).wait()
      // What was in the ring of the first life was never executed.
      #expect(bench.gpu.launches.isEmpty)
    }
  }

  @Test func rebuildsThatMeet_happenOnce() throws {
    let bench = try Bench(seed: 7)
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      channel.kill(.EIO)
      let tasks = (0..<3).map { index in
        device.kernel.spawn("rebuilder \(index)") {
          let error = await KernelError.of { () throws(KernelError) in
            if channel.isKilled { try await channel.rebuild() }
          }
          #expect(error == nil)
        }
      }
      for task in tasks { await task.join() }
      #expect(channel.generation == 2)
      try await NouveauFence.emit(on: channel).wait()
    }
  }

  @Test func aBadMethod_killsTheChannel_andRecoveryTakesItOffTheList() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: channel)
      let base = NV_PPBDMA.base(1)
      bench.gpu.poke(base + NV_PPBDMA.INTR_EN_0, 0xffff_feff)
      bench.gpu.poke(base + NV_PPBDMA.CHANNEL, channel.id)
      bench.gpu.poke(base + NV_PPBDMA.INTR_0, NV_PPBDMA.INTR_0_METHOD.make32(1))
      bench.gpu.raise(NV_PFIFO.INTR_PBDMA_ID, 2)
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .EIO)
      #expect(bench.gpu.peek(base + NV_PPBDMA.INTR_0) == 0)
      #expect(bench.gpu.peek(base + NV_PPBDMA.METHOD0) == NV_PPBDMA.METHOD0_NOP)
      await channel.runlist.flushRecovery()
      #expect(channel.runlist.channels.isEmpty)
      #expect(bench.gpu.peek(NV_PFIFO.SCHED_DISABLE) == 0)
      try await channel.rebuild()
      bench.gpu.release()
      try await NouveauFence.emit(on: channel).wait()
    }
  }

  @Test func anMMUFault_killsItsChannelOnly_andResetsTheEngine() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let other = try await device.makeChannel("other", space: device.kernelSpace)
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: other)
      let spared = try await NouveauFence.emit(on: device.copyChannel)
      typealias P = NV_PFIFO
      bench.gpu.poke(
        P.INTR_MMU_FAULT_INST(21), UInt32(other.instanceAddress.rawValue >> 12))
      bench.gpu.poke(P.INTR_MMU_FAULT_LO(21), 0xdead_0000)
      bench.gpu.poke(P.INTR_MMU_FAULT_HI(21), 0x12)
      bench.gpu.poke(P.INTR_MMU_FAULT_INFO(21), 2 | 1 << 16 | 1 << 20)
      bench.gpu.poke(P.INTR_MMU_FAULT_ID, 1 << 21)
      bench.gpu.poke(
        P.ENGINE_STATUS(1),
        P.STATUS_ID.make32(other.id) | P.STATUS_ID_TYPE_TSG.make32(1)
          | P.STATUS_CTX_STATUS.make32(1) | P.STATUS_BUSY.make32(1))
      bench.gpu.accesses = []
      bench.gpu.raise(P.INTR_0, P.INTR_0_MMU_FAULT.make32(1))
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .EIO)
      await other.runlist.flushRecovery()
      let resets = bench.gpu.accesses?.filter { $0.isWrite && $0.offset == NV_PMC.ENABLE } ?? []
      #expect(resets.map(\.value) == [.max & ~(1 << 6), .max])
      bench.gpu.accesses = nil
      #expect(
        device.logLines.first
          == "fifo: fault WRITE at 0x12dead0000 engine 21 client HUB/0 reason PTE instance "
          + "\(other.instanceAddress) on channel 1")
      #expect(other.isKilled && !device.copyChannel.isKilled)
      #expect(device.copyChannel.runlist.channels.map(\.id) == [0])
      bench.gpu.poke(P.ENGINE_STATUS(1), 0)
      bench.gpu.release()
      try await spared.wait()
      await other.destroy()
    }
  }

  @Test func aSchedulingTimeout_isTurnedIntoAFault() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      typealias P = NV_PFIFO
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      bench.gpu.poke(P.SCHED_ERROR, P.SCHED_ERROR_CTXSW_TIMEOUT)
      bench.gpu.poke(
        P.ENGINE_STATUS(1),
        P.STATUS_CTX_STATUS.make32(5) | P.STATUS_BUSY.make32(1) | P.STATUS_NEXT_ID.make32(0))
      bench.gpu.raise(P.INTR_0, P.INTR_0_SCHED_ERROR.make32(1))
      await device.kernel.sleep(1_000)
      #expect(bench.gpu.peek(P.TRIGGER_MMU_FAULT(1)) == 0x100 | 21)
      bench.gpu.poke(P.INTR_MMU_FAULT_ID, 1 << 21)
      bench.gpu.raise(P.INTR_0, P.INTR_0_MMU_FAULT.make32(1))
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .EIO)
      #expect(bench.gpu.peek(P.TRIGGER_MMU_FAULT(1)) & 0x100 == 0)
      bench.gpu.poke(P.ENGINE_STATUS(1), 0)
    }
  }

  @Test func interruptsThatNobodyKnows_areBlocked_notServedForEver() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.raise(NV_PFIFO.INTR_0, 1 << 4)
      await device.kernel.sleep(1_000)
      #expect(bench.gpu.peek(NV_PFIFO.INTR_EN_0) & 1 << 4 == 0)
      #expect(device.logLines == ["fifo: INTR 0x10"])
      #expect(device.interrupts.served < 4)
    }
  }

  @Test func aLostDevice_endsWaits_andRefusesWork() throws {
    let bench = try Bench()
    let gpu = bench.gpu
    try bench.withDevice { device throws(KernelError) in
      gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      device.kernel.after(50_000, "unplug") {
        gpu.isGone = true
        gpu.interrupt.raise()
      }
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .ENODEV)
      #expect(device.kernel.now < 1_000_000)
      #expect(device.isLost)
      let again = await KernelError.of { () throws(KernelError) in
        _ = try await NouveauFence.emit(on: device.copyChannel)
      }
      #expect(again == .ENODEV)
      let rebuild = await KernelError.of { () throws(KernelError) in
        try await device.copyChannel.rebuild()
      }
      #expect(rebuild == .ENODEV)
    }
  }

  /// All ones is also a number behind which half of all numbers lie.
  @Test func aLostDevice_isNoticedBeforeItsOnesAreBelieved() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      device.fenceStorage.write(0xffff_fff0, 1)
      let channel = try await device.makeChannel("old", space: device.kernelSpace)
      bench.gpu.isHeld = true
      let fence = try await NouveauFence.emit(on: channel)
      bench.gpu.isGone = true
      #expect(fence.isDone)
      #expect(fence.fence.status == .failed(.ENODEV))
    }
  }

  @Test func theKillOfOneChannel_leavesOthersAlone() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let other = try await device.makeChannel("other", space: device.kernelSpace)
      other.kill(.EIO)
      try await NouveauFence.emit(on: device.copyChannel).wait()
      await other.destroy()
      #expect(device.fifo.liveChannels.count == 1)
    }
  }
}
