import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import LinuxMM
import NVHardware
import Testing

@testable import Nouveau

@Suite struct PowerTests {
  /// Sleeps and wakes; VRAM and registers lose what they held.
  private func cycle(_ bench: Bench, _ device: NouveauDevice) async throws(KernelError) {
    try await device.suspend()
    bench.gpu.vram.fill(0xee, at: 0, length: bench.gpu.vram.count)
    bench.gpu.powerOn(64)
    try await device.resume()
  }

  private func fill(_ bench: Bench, _ at: VRAMAddress, _ count: Int, _ seed: UInt64) {
    var generator = SplitMix64(seed: seed)
    for offset in stride(from: 0, to: count, by: 8) {
      bench.gpu.vram.store(generator.next(), at: Int(at.rawValue) + offset)
    }
  }

  @Test func suspendAndResume_keepChannelsFencesAndBytes() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let pinned = BufferObject(device.buffers, bytes: 64 << 10)
      try pinned.pin()
      let loose = BufferObject(device.buffers, bytes: 20 << 10)
      try loose.pin()
      fill(bench, pinned.offset, 64 << 10, 1)
      fill(bench, loose.offset, 20 << 10, 2)
      let place = pinned.offset
      let was = bench.gpu.vram.bytes(at: Int(place.rawValue), count: 64 << 10)
      let other = bench.gpu.vram.bytes(at: Int(loose.offset.rawValue), count: 20 << 10)
      loose.unpin()
      let before = try await NouveauFence.emit(on: device.copyChannel)
      try await before.wait()
      let free = device.mm.freeSystemPages

      try await cycle(bench, device)

      #expect(pinned.offset == place)
      #expect(bench.gpu.vram.bytes(at: Int(place.rawValue), count: 64 << 10) == was)
      try loose.pin()
      #expect(bench.gpu.vram.bytes(at: Int(loose.offset.rawValue), count: 20 << 10) == other)
      #expect(device.mm.freeSystemPages == free)
      let after = try await NouveauFence.emit(on: device.copyChannel)
      #expect(after.fence.seqno > before.fence.seqno)
      try await after.wait()
      loose.unpin()
      pinned.unpin()
      loose.destroy()
      pinned.destroy()
    }
  }

  @Test func onlyTheBytesThatMatter_areKept() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let buffer = BufferObject(device.buffers, bytes: 2 << 20)
      try buffer.pin()
      buffer.occupancy = { [3..<5, 100..<101] }
      fill(bench, buffer.offset, 2 << 20, 3)
      let start = Int(buffer.offset.rawValue)
      let was = bench.gpu.vram.bytes(at: start + 3 * 4096, count: 8192)
      let launches = bench.gpu.launches.count
      try await cycle(bench, device)
      #expect(bench.gpu.vram.bytes(at: start + 3 * 4096, count: 8192) == was)
      let lines = bench.gpu.launches[launches...].reduce(0) { $0 + Int($1.lines) }
      #expect(lines == 6)
      buffer.unpin()
      buffer.destroy()
    }
  }

  @Test func asleep_theDeviceIsQuiet_andRefusesWork() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      try await device.suspend()
      #expect(bench.gpu.peek(NV_PMC.INTR_EN(0)) == 0)
      #expect(bench.gpu.readConfiguration(at: 4) & 4 == 0)
      #expect(bench.gpu.peek(NV_PCCSR.CHANNEL_INST(0)) == 0)
      let again = await KernelError.of { () throws(KernelError) in try await device.suspend() }
      #expect(again == .EINVAL)
      let channel = await KernelError.of { () throws(KernelError) in
        _ = try await device.makeChannel("late", space: device.kernelSpace)
      }
      #expect(channel == .ENODEV)
      try await device.resume()
      let twice = await KernelError.of { () throws(KernelError) in try await device.resume() }
      #expect(twice == .EINVAL)
    }
  }

  @Test func shutdown_ofASleepingDevice_givesEverythingBack() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in try await device.suspend() }
  }

  @Test(arguments: [
    InjectionPoint.pageAlloc, .dmaMap, .copySubmit, .ringSpace, .fenceAlloc, .fenceEmit,
  ])
  func aSuspendThatFails_leavesTheDeviceWorking(_ point: InjectionPoint) throws {
    var failed = 0
    for passage: UInt64 in 1..<40 {
      let bench = try Bench()
      var error: KernelError?
      try bench.withDevice { device throws(KernelError) in
        let buffer = BufferObject(device.buffers, bytes: 16 << 10)
        try buffer.pin()
        fill(bench, buffer.offset, 16 << 10, passage)
        let was = bench.gpu.vram.bytes(at: Int(buffer.offset.rawValue), count: 16 << 10)
        let free = device.mm.freeSystemPages
        bench.kernel.failures.arm(point, .nth(passage))
        error = await KernelError.of { () throws(KernelError) in try await device.suspend() }
        bench.kernel.failures.disarm()
        if error == nil {
          try await device.resume()
        } else {
          #expect(device.state == .running)
          #expect(device.mm.freeSystemPages == free, "\(point.name) passage \(passage)")
        }
        #expect(bench.gpu.vram.bytes(at: Int(buffer.offset.rawValue), count: 16 << 10) == was)
        try await NouveauFence.emit(on: device.copyChannel).wait()
        buffer.unpin()
        buffer.destroy()
      }
      guard error != nil else { break }
      failed += 1
    }
    #expect(failed > 0 && failed < 39, "\(point.name) failed \(failed) times")
  }

  @Test func aCopyThatFailsInSuspend_stopsTheSuspend() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let buffer = BufferObject(device.buffers, bytes: 16 << 10)
      try buffer.pin()
      bench.gpu.launchesToRefuse = 1
      let error = await KernelError.of { () throws(KernelError) in try await device.suspend() }
      #expect(error == .EIO)
      #expect(device.state == .running)
      try await device.copyChannel.rebuild()
      try await device.suspend()
      try await device.resume()
      buffer.unpin()
      buffer.destroy()
    }
  }

  @Test func aHungCopyInSuspend_neverWritesPagesThatWereGivenAway() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let buffer = BufferObject(device.buffers, bytes: 16 << 10)
      try buffer.pin()
      bench.gpu.isHeld = true
      let error = await KernelError.of { () throws(KernelError) in try await device.suspend() }
      #expect(error == .ETIMEDOUT)
      bench.gpu.release()
      await device.kernel.sleep(1_000_000)
      #expect(bench.gpu.launches.isEmpty)
      #expect(bench.gpu.faults == 0)
      buffer.unpin()
      buffer.destroy()
    }
  }

  private final class Client: DeviceClient {
    var calls: [String] = []
    let name: String
    let note: (String) -> Void
    var suspendError: KernelError?
    init(_ name: String, _ note: @escaping (String) -> Void) {
      self.name = name
      self.note = note
    }
    func suspend() async throws(KernelError) {
      note("\(name) suspend")
      if let suspendError { throw suspendError }
    }
    func resume() async throws(KernelError) { note("\(name) resume") }
    func release() async { note("\(name) release") }
  }

  @Test func clients_areAskedInOrder_andResumedWhenOneRefuses() throws {
    let bench = try Bench()
    var calls: [String] = []
    try bench.withDevice { device throws(KernelError) in
      let first = Client("a") { calls.append($0) }
      let second = Client("b") { calls.append($0) }
      device.register(first)
      device.register(second)
      try await cycle(bench, device)
      #expect(calls == ["b suspend", "a suspend", "a resume", "b resume"])
      calls = []
      first.suspendError = .EBUSY
      let error = await KernelError.of { () throws(KernelError) in try await device.suspend() }
      #expect(error == .EBUSY)
      #expect(calls == ["b suspend", "a suspend", "b resume"])
      calls = []
    }
    #expect(calls == ["b release", "a release"])
  }

  @Test func resume_ofAnotherBoard_isRefused() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      try await device.suspend()
      bench.gpu.poke(NV_PMC.BOOT_0, 0x1400_00a1)
      let error = await KernelError.of { () throws(KernelError) in try await device.resume() }
      #expect(error == .EIO)
      #expect(device.state == .suspended)
      bench.gpu.powerOn(64)
      try await device.resume()
      try await NouveauFence.emit(on: device.copyChannel).wait()
    }
  }
}
