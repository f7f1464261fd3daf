import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

/// Each `gpu.*` point, struck once while a channel copies 64 KiB and signals.
@Suite struct FailureTests {
  private let source = Rig.data
  private let target = Rig.data + (4 << 20)

  private func broken(_ point: InjectionPoint) throws -> (Rig, RigChannel, [UInt8]) {
    let failures = FailurePlan()
    let rig = try Rig(failures: failures)
    let channel = try rig.copyChannel()
    let bytes = rig.fill(source, 64 << 10, seed: 1)
    rig.interrupts = []
    failures.arm(point, .nth(1))
    channel.copy(source, target, 64 << 10, 0x182)
    channel.fence(1)
    return (rig, channel, bytes)
  }

  private func moved(_ rig: Rig) -> [UInt8] { rig.bytes(target, 64 << 10) }

  @Test func fenceStall_neverReleases() throws {
    let (rig, channel, bytes) = try broken(.fenceStall)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(moved(rig) == bytes)
    #expect(rig.interrupts.count == 1)
    channel.fence(2)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 2, "later releases come")
  }

  @Test func fenceLate_releasesAfterTheDriversPatience() throws {
    let (rig, channel, _) = try broken(.fenceLate)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 1)
    #expect(rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 8) > 15_000_000_000)
  }

  @Test func fenceWrongValue_writesWhatWasNeverEmitted() throws {
    let (rig, channel, _) = try broken(.fenceWrongValue)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0x1000_0001)
  }

  @Test func interruptLost_leavesTheValue() throws {
    let (rig, channel, _) = try broken(.interruptLost)
    channel.ring()
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 1)
    #expect(rig.interrupts.isEmpty)
  }

  @Test func interruptEarly_comesBeforeTheStore() throws {
    let (rig, channel, _) = try broken(.interruptEarly)
    var seen: [UInt32] = []
    rig.onInterrupt = { seen.append(rig.word(Rig.semaphore)) }
    try channel.kick()
    #expect(seen.first == 0)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func interruptStorm_sendsManyMessages() throws {
    let (rig, channel, _) = try broken(.interruptStorm)
    try channel.kick()
    #expect(rig.gpu.interrupt.raised > 100)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func copyError_movesNothing() throws {
    let (rig, channel, _) = try broken(.copyError)
    try channel.kick()
    #expect(rig.read(NV_CE.LCE_LAUNCHERR(0)) == 9)
    #expect(moved(rig).allSatisfy { $0 == 0 })
    #expect(rig.word(Rig.semaphore) == 0)
  }

  @Test func copyFault_comesHalfWay() throws {
    let (rig, channel, bytes) = try broken(.copyFault)
    try channel.kick()
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << 21)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_LO(21)) == UInt32(target) + 0x8000)
    #expect(Array(moved(rig)[..<0x8000]) == Array(bytes[..<0x8000]))
    #expect(moved(rig)[0x8000...].allSatisfy { $0 == 0 })
    #expect(rig.word(Rig.semaphore) == 0)
  }

  @Test func pbdmaError_stopsAtAHostMethod() throws {
    let (rig, channel, _) = try broken(.pbdmaError)
    try channel.kick()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == 1 << 21)
    #expect(rig.word(Rig.semaphore) == 0)
  }

  @Test func engineHang_holdsPreemptionUntilTheReset() throws {
    let (rig, channel, _) = try broken(.engineHang)
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(rig.gpu.audit().count == 1)
    rig.write(NV_PFIFO.ENG_TIMEOUT, 1 << 31 | 1_000)
    rig.write(NV_PCCSR.CHANNEL(1), 0x800)
    rig.write(NV_PFIFO.PREEMPT, 1 << 24 | 1)
    try rig.settle()
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 1)
    #expect(rig.read(NV_PFIFO.SCHED_ERROR) == NV_PFIFO.SCHED_ERROR_CTXSW_TIMEOUT)
    rig.write(NV_PMC.ENABLE, ~(1 << 6))
    rig.write(NV_PMC.ENABLE, ~0)
    try rig.settle()
    #expect(NV_PFIFO.PREEMPT_PENDING.get(rig.read(NV_PFIFO.PREEMPT)) == 0)
    #expect(rig.gpu.isIdle)
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(moved(rig).allSatisfy { $0 == 0 })
  }

  @Test func eccPoison_faultsUntilThePageIsWritten() throws {
    let (rig, channel, _) = try broken(.eccPoison)
    try channel.kick()
    #expect(rig.gpu.poisonedPages == [VRAMAddress(source)])
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << 21)
    #expect(
      NV_PFIFO.INTR_MMU_FAULT_INFO_TYPE.get(rig.read(NV_PFIFO.INTR_MMU_FAULT_INFO(21)))
        == NV_PFAULT.FaultType.POISONED.rawValue)
    #expect(moved(rig).allSatisfy { $0 == 0 })
  }

  @Test func poisonInTheMiddle_letsWhatIsBeforeItThrough() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bytes = rig.fill(source, 64 << 10, seed: 1)
    rig.gpu.poison(VRAMAddress(source + 0x5123))
    // A write over the page heals it.
    rig.gpu.poison(VRAMAddress(source + 0x2000))
    channel.copy(target, source + 0x2000, 4096, 0x182)
    try channel.kick()
    #expect(rig.gpu.poisonedPages == [VRAMAddress(source + 0x5000)])
    channel.copy(source, target, 64 << 10, 0x182)
    try channel.kick()
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_LO(21)) == UInt32(source) + 0x5000)
    #expect(Array(moved(rig)[0x3000..<0x5000]) == Array(bytes[0x3000..<0x5000]))
    #expect(moved(rig)[0x5000...].allSatisfy { $0 == 0 })
  }

  @Test func deviceLost_stopsEverything() throws {
    let (rig, channel, _) = try broken(.deviceLost)
    channel.ring()
    try rig.settle()
    #expect(rig.gpu.isLost)
    #expect(rig.read(NV_PMC.BOOT_0) == ~0)
    #expect(rig.word(Rig.semaphore) == 0)
    #expect(moved(rig).allSatisfy { $0 == 0 })
  }

  @Test func lossDuringACopy_movesNothing() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    _ = rig.fill(source, 64 << 10, seed: 1)
    channel.copy(source, target, 64 << 10, 0x182)
    channel.fence(1)
    channel.ring()
    rig.kernel.after(1_000, "loss") { rig.gpu.loseDevice() }
    try rig.settle()
    #expect(moved(rig).allSatisfy { $0 == 0 })
    #expect(rig.word(Rig.semaphore) == 0)
  }

  @Test func gpuThatIsGone_leavesNoStepBehind() throws {
    let kernel = Kernel()
    do {
      let dma = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096))
      let gpu = try EmulatedGPU(
        kernel, configuration: GPUConfiguration(vramBytes: 1 << 20), dma: dma)
      gpu.registers.write32(0x1000, at: NV_PTIMER.ALARM_0)
      gpu.registers.write32(1, at: NV_PTIMER.INTR_EN_0)
      gpu.registers.write32(1 << 20, at: NV_PFIFO.RUNLIST)
    }
    #expect(try kernel.runUntilIdle().isEmpty)
  }
}
