import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

@Suite struct SchedulingTests {
  @Test func runlist_isPendingUntilItsLatencyIsOver() throws {
    let rig = try Rig()
    let channel = try rig.channel()
    rig.write(NV_PFIFO.RUNLIST_BASE, UInt32(Rig.runlist >> 12))
    rig.gpu.vram.store(channel.id, at: Int(Rig.runlist))
    rig.write(NV_PFIFO.RUNLIST, 1 << 20 | 1)
    #expect(NV_PFIFO.ENG_RUNLIST_PENDING.get(rig.read(NV_PFIFO.ENG_RUNLIST(1))) == 1)
    #expect(NV_PFIFO.ENG_RUNLIST_PENDING.get(rig.read(NV_PFIFO.ENG_RUNLIST(2))) == 0)
    #expect(rig.read(NV_PFIFO.ENG_RUNLIST_BASE(1)) == UInt32(Rig.runlist >> 12))
    try rig.settle()
    #expect(rig.read(NV_PFIFO.ENG_RUNLIST(1)) == 1)
    #expect(rig.interrupts.count == 1, "the submission's end is an event")
  }

  @Test func malformedRunlist_isASchedulingError() throws {
    let rig = try Rig()
    let group = NV_RAMRL.group(tsgid: 1, channels: 2)
    rig.gpu.vram.store(group.0, at: Int(Rig.runlist))
    rig.gpu.vram.store(UInt32(1), at: Int(Rig.runlist) + 8)
    rig.write(NV_PFIFO.RUNLIST_BASE, UInt32(Rig.runlist >> 12))
    rig.write(NV_PFIFO.RUNLIST, 1 << 20 | 2)
    #expect(rig.read(NV_PFIFO.INTR_0) == 1 << 8)
    #expect(rig.read(NV_PFIFO.SCHED_ERROR) == NV_PFIFO.SCHED_ERROR_BAD_TSG)
  }

  @Test func bindErrors_nameWhatIsWrong() throws {
    let rig = try Rig()
    let channel = try rig.channel()
    rig.write(NV_PCCSR.CHANNEL_INST(1), 1 << 31 | UInt32(channel.instance >> 12))
    #expect(rig.read(NV_PFIFO.BIND_ERROR) == NV_PFIFO.BIND_ERROR_NOT_UNBOUND)
    #expect(rig.read(NV_PFIFO.INTR_0) & 1 == 1)
    rig.write(NV_PCCSR.CHANNEL_INST(2), 1 << 31 | 1 << 28 | 5)
    #expect(rig.read(NV_PFIFO.BIND_ERROR) == NV_PFIFO.BIND_ERROR_INVALID_CTX_TGT)
    rig.write(NV_PCCSR.CHANNEL_INST(1), 0)
    #expect(rig.read(NV_PCCSR.CHANNEL_INST(1)) == 0)
  }

  @Test func unbindingARunningChannel_isAnError() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.copy(Rig.data, Rig.data + 0x10_0000, 1 << 20, 0x182)
    channel.ring()
    try rig.kernel.run { await rig.kernel.sleep(1_500) }
    let status = rig.read(NV_PCCSR.CHANNEL(1))
    #expect(NV_PCCSR.CHANNEL_STATUS.get(status) == NV_PCCSR.CHANNEL_STATUS_ON_PBDMA_AND_ENG)
    #expect(NV_PCCSR.CHANNEL_ENABLE.get(status) == 1)
    #expect(NV_PFIFO.STATUS_BUSY.get(rig.read(NV_PFIFO.ENGINE_STATUS(1))) == 1)
    #expect(NV_PFIFO.STATUS_ID.get(rig.read(NV_PFIFO.ENGINE_STATUS(1))) == 1)
    rig.write(NV_PCCSR.CHANNEL_INST(1), 0)
    #expect(rig.read(NV_PFIFO.BIND_ERROR) == NV_PFIFO.BIND_ERROR_UNBIND_WHILE_RUNNING)
    try rig.settle()
    #expect(rig.read(NV_PFIFO.ENGINE_STATUS(1)) == 0)
    #expect(rig.read(NV_PFIFO.PBDMA_STATUS(1)) == 0)
  }

  @Test func disabledChannel_doesNotRunUntilEnabled() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.write(NV_PCCSR.CHANNEL(1), 0x800)
    channel.fence(1)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    rig.write(NV_PCCSR.CHANNEL(1), 0x400)
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func schedDisable_holdsOneRunlist() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.write(NV_PFIFO.SCHED_DISABLE, 1 << 1)
    channel.fence(1)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    rig.write(NV_PFIFO.SCHED_DISABLE, 0)
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func preempt_takesTheChannelOffAfterItsLaunch() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    for index in 0..<4 {
      let at = Rig.data + UInt64(index) << 20
      _ = rig.fill(at, 4096, seed: UInt64(index))
      channel.copy(at, at + (8 << 20), 1 << 20, 0x182)
    }
    channel.fence(1)
    channel.ring()
    try rig.kernel.run { await rig.kernel.sleep(1_500) }
    rig.write(NV_PCCSR.CHANNEL(1), 0x800)
    rig.write(NV_PFIFO.PREEMPT, 1 << 24 | 1)
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 1)
    try rig.settle()
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 0)
    #expect(rig.gpu.launchesCompleted == 1, "the launches that had not begun stay with the channel")
    #expect(rig.word(Rig.semaphore) == 0)
    // Enabled again it takes up where it was.
    rig.write(NV_PCCSR.CHANNEL(1), 0x400)
    try rig.settle()
    #expect(rig.gpu.launchesCompleted == 4)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func preemptOfAnIdleChannel_isDoneAtOnce() throws {
    let rig = try Rig()
    _ = try rig.copyChannel()
    rig.write(NV_PFIFO.PREEMPT, 1)
    try rig.settle()
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 0)
  }

  @Test func killedChannel_neverReleasesAfterARefusedLaunch() throws {
    // The order that keeps a fence from signalling: disable and preempt, then acknowledge.
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.copy(Rig.data, Rig.data + 4096, 4096, 0x182 | 1 << 24)
    channel.copy(Rig.data, Rig.data + 8192, 4096, 0x182)
    channel.fence(1)
    try channel.kick()
    rig.write(NV_PCCSR.CHANNEL(1), 0x800)
    rig.write(NV_PFIFO.PREEMPT, 1 << 24 | 1)
    try rig.settle()
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 0)
    rig.write(NV_CE.LCE_INTR_STATUS(0), 1 << 2)
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(rig.gpu.launchesCompleted == 0)
  }

  @Test func channels_shareARunlistByTimeSlices() throws {
    var slow = GPUCostModel()
    slow.vramRate = 1_000
    let rig = try Rig(cost: slow)
    let first = try rig.channel(1)
    let second = try rig.channel(2)
    try rig.list([first, second])
    first.push(4, 0, [ClassC0B5.classID])
    // Launches of 4 ms each, one a GPFIFO entry: longer than a slice of 1 ms.
    for _ in 0..<8 {
      first.copy(Rig.data, Rig.data + (8 << 20), 4 << 20, 0x182)
      first.push(0, ClassC06F.WFI, [0])
      first.ring()
    }
    first.fence(1)
    first.ring()
    second.fence(2, at: Rig.semaphore + 32)
    second.ring()
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 1)
    #expect(rig.word(Rig.semaphore + 32) == 2)
    let firstDone = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 8)
    let secondDone = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 40)
    #expect(firstDone > 32_000_000)
    #expect(secondDone < 10_000_000, "the second channel's turn comes after a slice")
  }

  @Test func faultedChannel_isClearedByNouveausRecovery() throws {
    let rig = try Rig()
    let bad = try rig.channel(1)
    let good = try rig.channel(2)
    try rig.list([bad, good])
    bad.push(4, 0, [ClassC0B5.classID])
    bad.copy(0x70_0000_0000, Rig.data, 4096, 0x182)
    bad.fence(1)
    try bad.kick()
    good.fence(2, at: Rig.semaphore + 32)
    try good.kick()
    #expect(rig.word(Rig.semaphore + 32) == 0, "the runlist stands still after a fault")
    #expect(NV_PFIFO.STATUS_FAULTED.get(rig.read(NV_PFIFO.ENGINE_STATUS(1))) == 1)
    // Block, disable the channel, reset the engine, submit the list without it, clear, unblock.
    rig.write(NV_PFIFO.SCHED_DISABLE, 1 << 1)
    rig.write(NV_PCCSR.CHANNEL(1), 0x800)
    rig.write(NV_PMC.ENABLE, ~(1 << 6))
    rig.write(NV_PMC.ENABLE, ~0)
    rig.write(NV_PFIFO.INTR_MMU_FAULT_ID, 1 << 21)
    try rig.list([good])
    rig.write(NV_PFIFO.ERROR_SCHED_DISABLE, 1 << 1)
    rig.write(NV_PFIFO.SCHED_DISABLE, 0)
    try rig.settle()
    #expect(rig.word(Rig.semaphore + 32) == 2)
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(rig.gpu.audit().isEmpty)
  }

  @Test func triggeredFault_reportsTheEnginesChannel() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.copy(Rig.data, Rig.data + (8 << 20), 1 << 20, 0x182)
    channel.ring()
    try rig.kernel.run { await rig.kernel.sleep(1_500) }
    rig.write(NV_PFIFO.TRIGGER_MMU_FAULT(1), 0x100 | 21)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << 21)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_INST(21)) == UInt32(channel.instance >> 12))
    #expect(rig.read(NV_PFIFO.TRIGGER_MMU_FAULT(1)) & 0x100 != 0)
    rig.write(NV_PFIFO.INTR_MMU_FAULT_ID, 1 << 21)
    #expect(rig.read(NV_PFIFO.TRIGGER_MMU_FAULT(1)) & 0x100 == 0)
  }

  @Test func resetOfPFIFO_forgetsChannelsAndRunlists() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.write(NV_PMC.ENABLE, ~(1 << 8))
    rig.write(NV_PMC.ENABLE, ~0)
    channel.fence(1)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(rig.read(NV_PCCSR.CHANNEL_INST(1)) == 0)
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func anyOrderOfSteps_endsWithTheSameBytes(_ seed: UInt64) throws {
    let rig = try Rig(choices: RandomWalkChoices(seed: seed))
    let first = try rig.channel(1)
    let second = try rig.channel(2, runlist: 2)
    try rig.list([first])
    try rig.list([second], runlist: 2)
    let bytes = rig.fill(Rig.data, 64 << 10, seed: seed)
    for channel in [first, second] { channel.push(4, 0, [ClassC0B5.classID]) }
    first.copy(Rig.data, Rig.data + (4 << 20), 64 << 10, 0x182)
    first.fence(1)
    second.acquire(1)
    second.copy(Rig.data + (4 << 20), Rig.data + (8 << 20), 64 << 10, 0x182)
    second.fence(2, at: Rig.semaphore + 32)
    second.ring()
    first.ring()
    try rig.settle()
    #expect(rig.word(Rig.semaphore + 32) == 2, "seed \(seed)")
    #expect(rig.bytes(Rig.data + (8 << 20), 64 << 10) == bytes, "seed \(seed)")
  }
}
