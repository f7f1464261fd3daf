import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct BringUpTests {
  @Test func probe_makesAChannelWhoseFenceSignals() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      #expect(device.chipName == "GP100")
      #expect(device.vramBytes == 64 << 20)
      let fence = try await NouveauFence.emit(on: device.copyChannel)
      try await fence.wait()
      #expect(fence.fence.status == .signaled)
      #expect(device.logLines == [])
    }
    #expect(bench.gpu.faults == 0)
  }

  @Test func probe_staysWithinAFewHundredRegisterAccesses() throws {
    let bench = try Bench()
    try bench.withDevice { _ in #expect(bench.gpu.accessCount < 10_500) }
    // Of those, most clear page tables; a window that fills at once needs none of them.
    let filling = try Bench()
    filling.gpu.fillsAtOnce = true
    var accesses = 0
    try filling.withDevice { _ in accesses = filling.gpu.accessCount }
    #expect(accesses < 420, "\(accesses) accesses")
  }

  @Test func probe_enablesDecodingAndBusMastering_shutdownTakesMasteringBack() throws {
    let bench = try Bench()
    try bench.withDevice { _ in
      #expect(bench.gpu.readConfiguration(at: 4) & 0x6 == 0x6)
      #expect(bench.gpu.readConfiguration(at: 0x68) >> 16 & 1 == 1)
    }
    #expect(bench.gpu.readConfiguration(at: 4) & 0x6 == 0x2)
    #expect(bench.gpu.readConfiguration(at: 0x68) >> 16 & 1 == 0)
    #expect(bench.gpu.peek(NV_PMC.INTR_EN(0)) == 0)
    #expect(bench.gpu.peek(NV_PFIFO.INTR_EN_0) == 0)
  }

  /// What a probe throws on a GPU that `change` has altered; nothing may stay behind.
  private func probeError(_ change: (ScriptedGPU) -> Void) throws -> KernelError? {
    let bench = try Bench()
    change(bench.gpu)
    let error = try bench.kernel.run {
      await KernelError.of { () throws(KernelError) in
        let device = try await bench.probe()
        await device.shutdown()
      }
    }
    #expect(bench.gpu.dma.coherentBytesInUse == 0)
    return error
  }

  @Test func probe_refusesAForeignFunction() throws {
    #expect(try probeError { $0.writeConfiguration(0x1234_8086, at: 0) } == .ENODEV)
    #expect(try probeError { $0.writeConfiguration(0x0480_0000, at: 8) } == .ENODEV)
  }

  @Test func probe_ofADeadCard_isNoDevice() throws {
    #expect(try probeError { $0.isGone = true } == .ENODEV)
    #expect(try probeError { $0.poke(NV_PMC.BOOT_0, .max) } == .ENODEV)
  }

  @Test func probe_ofAnUnknownChipset_isNoDevice() throws {
    #expect(try probeError { $0.poke(NV_PMC.BOOT_0, 0x1700_00a1) } == .ENODEV)
  }

  @Test func probe_ofACardThatStaysBigEndian_isNotSupported() throws {
    #expect(try probeError { $0.poke(NV_PMC.BOOT_1, NV_PMC.BOOT_1_BIG_ENDIAN) } == .ENOSYS)
  }

  @Test func probe_ofACardThatWasNotPosted_fails() throws {
    #expect(try probeError { $0.poke(NV_FUSE.DEVINIT_STATUS, 0) } == .EIO)
  }

  @Test func probe_withoutACopyEngine_isNoDevice() throws {
    let error = try probeError { gpu in
      for index in 0..<NV_PTOP.DEVICE_INFO_count { gpu.poke(NV_PTOP.DEVICE_INFO(index), 0) }
    }
    #expect(error == .ENODEV)
  }

  @Test func probe_whoseRunlistIsNeverTaken_timesOut() throws {
    let error = try probeError { gpu in
      gpu.poke(NV_PFIFO.ENG_RUNLIST(1), NV_PFIFO.ENG_RUNLIST_PENDING.make32(1))
    }
    #expect(error == .EIO)
  }

  @Test func probe_whoseBAR1IsNeverBound_timesOut() throws {
    let error = try probeError { $0.poke(NV_PBUS.BIND_STATUS, 1) }
    #expect(error == .EIO)
  }

  @Test func probe_ofAWakingCard_bringsItToD0() throws {
    let bench = try Bench()
    bench.gpu.writeConfiguration(3, at: 0x64)
    try bench.withDevice { _ in #expect(bench.gpu.readConfiguration(at: 0x64) & 3 == 0) }
  }

  @Test func probe_afterAShutdown_worksAgain() throws {
    let bench = try Bench()
    for _ in 0..<3 {
      try bench.withDevice { device throws(KernelError) in
        try await NouveauFence.emit(on: device.copyChannel).wait()
      }
    }
  }

  @Test func probe_onDirtyVRAM_isNotMisledByIt() throws {
    let bench = try Bench()
    bench.gpu.vram.fill(0xff, at: 0, length: bench.gpu.vram.count)
    try bench.withDevice { device throws(KernelError) in
      try await NouveauFence.emit(on: device.copyChannel).wait()
      #expect(device.kernelSpace.entry(at: GPUVirtualAddress(0x7000_0000)) == .none)
    }
  }

  @Test(arguments: [
    InjectionPoint.vramAlloc, .bufferPin, .gpuPageTable, .dmaAllocCoherent, .ringSpace,
  ])
  func probe_failsCleanlyAtEveryPassage(_ point: InjectionPoint) throws {
    var failed = 0
    for passage: UInt64 in 1..<64 {
      let bench = try Bench()
      bench.kernel.failures.arm(point, .nth(passage))
      let gpu = bench.gpu
      let error = try bench.kernel.run {
        await KernelError.of { () throws(KernelError) in
          let device = try await bench.probe()
          await device.shutdown()
          #expect(device.usage == DeviceUsage(), "\(point.name) passage \(passage)")
        }
      }
      #expect(gpu.dma.coherentBytesInUse == 0, "\(point.name) passage \(passage)")
      #expect(gpu.peek(NV_PMC.INTR_EN(0)) == 0, "\(point.name) passage \(passage)")
      #expect(gpu.readConfiguration(at: 4) & 4 == 0, "\(point.name) passage \(passage)")
      guard let error else { break }
      #expect(point.errors.contains(error), "\(point.name) passage \(passage): \(error)")
      failed += 1
    }
    #expect(failed > 0 && failed < 63, "\(point.name) failed \(failed) times")
  }
}
