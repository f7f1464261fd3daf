import Base
import EmulatedGPU
import Falcon
import KernelRuntime
import NVHardware
import Testing

/// What the push buffer fuzzer found, and what it made one look at.
@Suite struct HostileInputTests {
  @Test func badPutAtLoading_leavesTheChannelUnloaded() throws {
    let rig = try Rig()
    let channel = try rig.channel()
    try rig.list([channel])
    channel.doorbell(0xffff)
    try rig.settle()
    #expect(NV_PPBDMA.INTR_0_GPPTR.get(rig.read(channel.pbdma + NV_PPBDMA.INTR_0)) == 1)
    let status = NV_PCCSR.CHANNEL_STATUS.get(rig.read(NV_PCCSR.CHANNEL(1)))
    #expect(status != NV_PCCSR.CHANNEL_STATUS_ON_PBDMA)
    // The driver can unbind it at once, and use it again.
    rig.write(NV_PCCSR.CHANNEL_INST(1), 0)
    #expect(rig.read(NV_PFIFO.BIND_ERROR) == 0)
    rig.write(channel.pbdma + NV_PPBDMA.INTR_0, ~0)
    let again = try rig.channel()
    again.fence(5)
    try again.kick()
    #expect(rig.word(Rig.semaphore) == 5)
  }

  /// Blocks of these surfaces lie further apart than 64 bits count.
  @Test(arguments: [0x80 as UInt32, 0x100])
  func endlessSurfaces_wrapAround(pitchSide: UInt32) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    for start in [ClassC0B5.SET_DST_BLOCK_SIZE, ClassC0B5.SET_SRC_BLOCK_SIZE] {
      channel.push(4, start, [1 << 12, ~0, ~0, ~0, 0xffff_fffe, 0])
    }
    let at = UInt32(Rig.data)
    channel.push(4, ClassC0B5.OFFSET_IN_UPPER, [0, at, 0, at, 0x100, 0x100, 0x100, 4])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [0x202 | pitchSide])
    try channel.kick()
    #expect(rig.gpu.launchesCompleted == 1)
    #expect(rig.gpu.audit() == [])
  }

  /// The state of the fixed-function class is the host's; microcode sees every method.
  @Test(arguments: [ClassC0B5.SET_SEMAPHORE_A, ClassC0B5.OFFSET_IN_UPPER])
  func methodsOfAnotherClass_reachTheMicrocode(method: UInt32) throws {
    let falcon = try FalconRig()
    let channel = try falcon.ready()
    channel.push(4, method, [1])
    channel.ring()
    try falcon.rig.settle()
    #expect(falcon.read(.interrupts) & FalconLine.software0 != 0)
    #expect(PCOPYDispatch.METHOD.get(falcon.read(.scratch0)) << 2 == method)
  }

  /// The engine's FIFO has 11 bits of method number, the host 12: none is taken for another.
  @Test func methodsBeyondTheFIFO_areIllegal() throws {
    let falcon = try FalconRig()
    let channel = try falcon.ready()
    channel.push(4, 0x2000 | Class90B5.EXEC, [0x110])
    channel.ring()
    try falcon.rig.settle()
    let word = falcon.rig.read(channel.pbdma + NV_PPBDMA.INTR_1)
    #expect(NV_PPBDMA.INTR_1_HCE_ILLEGAL_MTHD.get(word) == 1)
    #expect(falcon.read(.interrupts) & FalconLine.software0 == 0)
  }
}
