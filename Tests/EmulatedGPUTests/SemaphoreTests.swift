import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

@Suite struct SemaphoreTests {
  @Test(
    arguments: [
      (0x4000_0000, 0, 5, 3, 3), (0x4000_0000, 1, 5, 3, 5), (0, 2, 6, 3, 5), (0, 3, 6, 3, 2),
      (0, 4, 6, 3, 7), (0, 5, 6, 3, 9), (0, 6, 6, 3, 0), (0, 6, 2, 3, 3), (0, 7, 0, 3, 3),
      (0, 7, 2, 3, 1), (0, 0, 0xffff_ffff, 1, 0xffff_ffff), (1 << 31, 0, 0xffff_ffff, 1, 1),
    ] as [(UInt32, UInt32, UInt32, UInt32, UInt32)])
  func reduction_isTheManuals(
    _ format: UInt32, _ operation: UInt32, _ memory: UInt32, _ payload: UInt32, _ expected: UInt32
  ) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.gpu.vram.store(memory, at: Int(Rig.semaphore))
    let sign = format & 1 << 31
    channel.fence(payload, command: 0x10 | operation << 27 | sign)
    try channel.kick()
    #expect(
      rig.word(Rig.semaphore) == expected,
      "reduction \(operation) of \(memory) with \(payload), format \(sign)")
  }

  @Test(
    arguments: [
      (1, 4, 5, false), (1, 5, 5, true), (4, 5, 5, true), (4, 6, 5, true), (4, 4, 5, false),
      (4, 1, 0xffff_fff0, true), (8, 6, 4, true), (8, 3, 4, false),
    ] as [(UInt32, UInt32, UInt32, Bool)])
  func acquire_comparesAsItsOperationSays(
    _ operation: UInt32, _ memory: UInt32, _ payload: UInt32, _ passes: Bool
  ) throws {
    // 1 µs << 3 of time-out: an acquire that doesn't hold ends in an interrupt.
    let rig = try Rig()
    let channel = try rig.channel(acquire: 1 << 31 | 8 << 15 | 1)
    try rig.list([channel])
    rig.gpu.vram.store(memory, at: Int(Rig.semaphore))
    channel.acquire(payload, command: operation)
    channel.fence(1, at: Rig.semaphore + 32)
    try channel.kick()
    #expect(rig.word(Rig.semaphore + 32) == (passes ? 1 : 0))
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_0) == (passes ? 0 : 1 << 26))
  }

  @Test func acquire_goesOnWhenAnotherChannelReleases() throws {
    let rig = try Rig()
    let waiter = try rig.channel(1)
    let signaller = try rig.channel(2)
    try rig.list([waiter, signaller])
    waiter.acquire(7)
    waiter.fence(1, at: Rig.semaphore + 32)
    waiter.ring()
    rig.kernel.after(50_000, "later") {
      signaller.fence(7)
      signaller.ring()
    }
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 7)
    #expect(rig.word(Rig.semaphore + 32) == 1)
    #expect(rig.kernel.now < 80_000, "the release is seen at once, not at the next poll")
  }

  @Test func acquire_seesWhatTheCPUWrites() throws {
    let rig = try Rig()
    let channel = try rig.channel()
    try rig.list([channel])
    channel.acquire(3)
    channel.fence(1, at: Rig.semaphore + 32)
    channel.ring()
    rig.kernel.after(1_000_000, "cpu") { rig.gpu.vram.store(UInt32(3), at: Int(Rig.semaphore)) }
    try rig.settle()
    #expect(rig.word(Rig.semaphore + 32) == 1)
  }

  @Test func acquireWithoutSwitch_holdsThePBDMA() throws {
    let rig = try Rig()
    let waiter = try rig.channel(1, acquire: 1 << 31 | 100 << 15 | 1)
    let other = try rig.channel(2)
    try rig.list([waiter, other])
    waiter.acquire(7, command: 4)
    waiter.ring()
    try rig.kernel.run { await rig.kernel.sleep(20_000) }
    other.fence(1, at: Rig.semaphore + 32)
    other.ring()
    try rig.kernel.run { await rig.kernel.sleep(20_000) }
    #expect(rig.word(Rig.semaphore + 32) == 0)
    try rig.settle()
    #expect(rig.read(waiter.pbdma + NV_PPBDMA.INTR_0) == 1 << 26)
  }

  @Test func releaseAfterWFI_waitsForTheCopy() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let source = rig.fill(Rig.data, 1 << 20, seed: 1)
    channel.copy(Rig.data, Rig.data + (4 << 20), 1 << 20, 0x182)
    // Without WFI at once, with WFI after the bytes.
    channel.fence(1, at: Rig.semaphore + 32, command: 1 << 20 | 2)
    channel.fence(2)
    channel.ring()
    try rig.settle()
    let early = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 40)
    let late = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 8)
    #expect(late >= early + 3_000, "1 MiB takes \((1 << 20) * 1000 / 366_000) ns and a launch")
    #expect(rig.bytes(Rig.data + (4 << 20), 1 << 20) == source)
  }
}
