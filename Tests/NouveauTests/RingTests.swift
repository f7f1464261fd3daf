import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct RingTests {
  private func options(pushBytes: Int = 4096, entries: Int = 8) -> DriverOptions {
    var options = DriverOptions()
    options.pushBytes = pushBytes
    options.ringEntries = entries
    return options
  }

  @Test func aFullRing_isWaitedFor_andGoesOn() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      var pushed = 0
      let pusher = device.kernel.spawn("pusher") {
        for _ in 0..<20 {
          let error = await KernelError.of { () throws(KernelError) in
            try await channel.withPush(dwords: 4) { $0.method(0, ClassC06F.NOP, 0, 0, 0) }
          }
          #expect(error == nil)
          pushed += 1
        }
      }
      await device.kernel.sleep(1_000_000)
      // SET_OBJECT and six more fill seven of eight entries.
      #expect(pushed == 7 || pushed == 6)
      bench.gpu.release()
      await pusher.join()
      #expect(pushed == 20)
      try await NouveauFence.emit(on: channel).wait()
    }
  }

  @Test func aStuckRing_isGivenUpAfter15Seconds() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      var error: KernelError?
      let start = device.kernel.now
      for _ in 0..<9 where error == nil {
        error = await KernelError.of { () throws(KernelError) in
          try await channel.withPush(dwords: 2) { $0.method(0, ClassC06F.NOP, 0) }
        }
      }
      #expect(error == .EBUSY)
      #expect(device.kernel.now - start >= Channel.ringLimit)
      bench.gpu.release()
    }
  }

  @Test func aKillDuringTheWait_endsIt() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      device.kernel.after(5_000_000, "kill") { channel.kill(.EIO) }
      var error: KernelError?
      for _ in 0..<9 where error == nil {
        error = await KernelError.of { () throws(KernelError) in
          try await channel.withPush(dwords: 2) { $0.method(0, ClassC06F.NOP, 0) }
        }
      }
      #expect(error == .ENODEV)
      #expect(device.kernel.now < 1_000_000_000)
      bench.gpu.release()
    }
  }

  @Test func moreThanTheBufferHolds_isRefusedAtOnce() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let error = await KernelError.of { () throws(KernelError) in
        try await device.copyChannel.withPush(dwords: 1024) { _ in }
      }
      #expect(error == .EINVAL)
    }
  }

  @Test func anEmptyPush_costsNoEntry() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let before = device.copyChannel.ring.gpPut
      try await device.copyChannel.withPush(dwords: 8) { _ in }
      #expect(device.copyChannel.ring.gpPut == before)
    }
  }

  @Test func aLazyHost_isBelievedOnlyWhenItWritesBack() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      bench.gpu.isLazy = true
      let gpu = bench.gpu
      device.kernel.after(20_000_000, "write back") { gpu.writeBack() }
      let start = device.kernel.now
      for _ in 0..<10 {
        try await device.copyChannel.withPush(dwords: 2) { $0.method(0, ClassC06F.NOP, 0) }
      }
      #expect(device.kernel.now - start >= 19_000_000)
      bench.gpu.isLazy = false
      bench.gpu.writeBack()
    }
  }

  /// Random sizes against a model of the bytes in use: no live byte is ever overwritten.
  @Test(arguments: 0..<20 as Range<UInt64>)
  func reserve_neverHandsOutBytesInUse(_ seed: UInt64) throws {
    let bench = try Bench()
    try bench.withDevice(options(pushBytes: 4096, entries: 16)) { device throws(KernelError) in
      bench.gpu.isHeld = true
      let ring = try await PushRing(
        device.device, device.kernelSpace, device.bar1, device.options)
      var generator = SplitMix64(seed: seed)
      var live: [(slot: UInt32, bytes: Range<Int>)] = []
      var consumed: UInt32 = 0
      for step in 0..<500 {
        let dwords = 1 + generator.below(300)
        if ring.reserve(dwords) {
          let range = ring.head..<(ring.head + 4 * dwords)
          #expect(range.upperBound <= 4096, "seed \(seed) step \(step)")
          #expect(
            live.allSatisfy { !$0.bytes.overlaps(range) },
            "seed \(seed) step \(step): \(range) against \(live)")
          var writer = PushWriter(ring.memory, from: ring.head, dwords: dwords)
          for _ in 0..<dwords { writer.word(0) }
          live.append((ring.gpPut, range))
          let submitted = ring.submit(writer)
          #expect(submitted?.dwords == dwords)
        } else {
          #expect(!live.isEmpty, "seed \(seed) step \(step): an empty ring has no room")
          let count = 1 + generator.below(max(live.count, 1))
          live.removeFirst(min(count, live.count))
          consumed = (consumed + UInt32(count)) & 15
          ring.advance(to: consumed, reading: GPUVirtualAddress(0))
        }
      }
      await ring.destroy()
      bench.gpu.isHeld = false
    }
  }

  @Test func aSegmentBeingFetched_isStillInUse() throws {
    let bench = try Bench()
    try bench.withDevice(options()) { device throws(KernelError) in
      let ring = try await PushRing(
        device.device, device.kernelSpace, device.bar1, device.options)
      var writer = PushWriter(ring.memory, from: 0, dwords: 4)
      let hasRoom = ring.reserve(4)
      #expect(hasRoom)
      for _ in 0..<4 { writer.word(0) }
      _ = ring.submit(writer)
      ring.advance(to: 1, reading: ring.pushAddress + 8 as GPUVirtualAddress)
      #expect(ring.gpGet == 0)
      ring.advance(to: 1, reading: ring.pushAddress + 16 as GPUVirtualAddress)
      #expect(ring.gpGet == 1)
      await ring.destroy()
    }
  }

  @Test func pushBuffersInVRAM_workAlike() throws {
    let bench = try Bench()
    var options = DriverOptions()
    options.pushInVRAM = true
    try bench.withDevice(options) { device throws(KernelError) in
      for _ in 0..<3 { try await NouveauFence.emit(on: device.copyChannel).wait() }
      #expect(device.usage.coherentBytes == PageSize.bytes)
    }
  }

  @Test func overrunningTheReservation_traps() async {
    await #expect(processExitsWith: .failure) {
      let bench = try Bench()
      try bench.withDevice { device throws(KernelError) in
        try await device.copyChannel.withPush(dwords: 2) { writer in
          for _ in 0..<3 { writer.word(0) }
        }
      }
    }
  }
}
