import Base
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct FaultBufferTests {
  /// Puts a packet where the hardware would, through BAR2's tables, and moves PUT.
  private func put(
    _ bench: Bench, _ device: NouveauDevice, address: UInt64, access: UInt32 = 1,
    isValid: Bool = true
  ) {
    let gpu = bench.gpu
    let instance = Int(gpu.peek(NV_PBUS.BAR2_BLOCK) & 0x0fff_ffff) << 12
    let base = UInt64(gpu.peek(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO) & ~0xfff)
    let index = gpu.peek(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT)
    guard let place = gpu.translate(base + UInt64(index) * 32, instance: instance) else {
      Issue.record("the fault buffer isn't mapped in BAR2")
      return
    }
    let words: [UInt32] = [
      0x0012_3000, 0, UInt32(truncatingIfNeeded: address), UInt32(address >> 32), 0x20, 0, 0,
      2 | 0x11 << 8 | access << 16 | 3 << 24 | (isValid ? 1 << 31 : 0),
    ]
    for (offset, word) in words.enumerated() {
      gpu.vram.store(word, at: Int(place.address) + 4 * offset)
    }
    gpu.poke(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT, (index + 1) % 64)
  }

  @Test func packets_areTakenInOrder_acrossTheRingsEnd() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      var calls = 0
      let buffer = try await device.openFaultBuffer { calls += 1 }
      for round: UInt64 in 0..<10 {
        for index: UInt64 in 0..<20 {
          put(bench, device, address: 0x1_0000_0000 + (round * 20 + index) << 12)
        }
        bench.gpu.message()
        await device.kernel.sleep(100)
        #expect(calls == Int(round) + 1)
        let faults = buffer.takeFaults()
        #expect(
          faults.map(\.address.rawValue)
            == (0..<20).map { 0x1_0000_0000 + (round * 20 + $0) << 12 })
        #expect(
          faults.first.map {
            [$0.instance.rawValue, UInt64($0.client), UInt64($0.gpc), $0.timestamp]
          } == [0x12_3000, 0x11, 3, 0x20])
        #expect(faults.first?.access == .WRITE && faults.first?.reason == .PTE)
        buffer.rearm()
      }
      #expect(buffer.takeFaults().isEmpty)
      await device.closeFaultBuffer()
    }
  }

  @Test func theInterrupt_staysOffUntilRearmed() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      var calls = 0
      let buffer = try await device.openFaultBuffer { calls += 1 }
      put(bench, device, address: 0x1000)
      bench.gpu.message()
      await device.kernel.sleep(100)
      put(bench, device, address: 0x2000)
      bench.gpu.message()
      await device.kernel.sleep(100)
      #expect(calls == 1)
      #expect(buffer.takeFaults(limit: 1).map(\.address.rawValue) == [0x1000])
      buffer.rearm()
      await device.kernel.sleep(100)
      #expect(calls == 2)
      #expect(buffer.takeFaults().map(\.address.rawValue) == [0x2000])
      await device.closeFaultBuffer()
    }
  }

  @Test func aPacketWithoutVALID_isSkippedAndReported() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let buffer = try await device.openFaultBuffer {}
      put(bench, device, address: 0x1000, isValid: false)
      put(bench, device, address: 0x2000, access: 5)
      put(bench, device, address: 0x3000)
      #expect(buffer.takeFaults().map(\.address.rawValue) == [0x3000])
      #expect(buffer.malformed == 2)
      #expect(device.logLines == ["fault: packet 0 is not valid", "fault: packet 1 is not valid"])
      await device.closeFaultBuffer()
    }
  }

  @Test func replayAndCancel_saySoToTheMMU() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let buffer = try await device.openFaultBuffer {}
      put(bench, device, address: 0x1000)
      let faults = buffer.takeFaults()
      await buffer.replay()
      #expect(bench.gpu.peek(NV_PFB.PRI_MMU_INVALIDATE) == 0x8000_000b)
      if let fault = faults.first { await buffer.cancel(fault) }
      #expect(bench.gpu.peek(NV_PFB.PRI_MMU_INVALIDATE) == 0x8000_001b | 3 << 15 | 0x11 << 9)
      await device.closeFaultBuffer()
    }
  }

  @Test func opening_isExclusive_andUnwindsAtEveryFailure() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let before = device.usage
      for point in [InjectionPoint.vramAlloc, .gpuPageTable] {
        var failed = 0
        for passage: UInt64 in 1..<20 {
          device.kernel.failures.arm(point, .nth(passage))
          let error = await KernelError.of { () throws(KernelError) in
            _ = try await device.openFaultBuffer {}
          }
          device.kernel.failures.disarm()
          if error == nil { break }
          failed += 1
          #expect(device.usage == before, "\(point.name) passage \(passage)")
        }
        #expect(failed > 3, "\(point.name)")
        let second = await KernelError.of { () throws(KernelError) in
          _ = try await device.openFaultBuffer {}
        }
        #expect(second == .EBUSY)
        await device.closeFaultBuffer()
        #expect(device.usage == before)
      }
    }
  }

  @Test func theBuffer_worksAgainAfterSuspend() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      var calls = 0
      let buffer = try await device.openFaultBuffer { calls += 1 }
      try await device.suspend()
      bench.gpu.vram.fill(0xee, at: 0, length: bench.gpu.vram.count)
      bench.gpu.powerOn(64)
      try await device.resume()
      put(bench, device, address: 0x9000)
      bench.gpu.message()
      await device.kernel.sleep(100)
      #expect(calls == 1)
      #expect(buffer.takeFaults().map(\.address.rawValue) == [0x9000])
      await device.closeFaultBuffer()
    }
  }
}
