import Base
import DMAFence
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Testing

@testable import Nouveau

/// The driver on the emulated GPU, which checks what it is told.
struct Board {
  let kernel: Kernel
  let mm: MemoryManager
  let gpu: EmulatedGPU

  init(
    seed: UInt64? = nil, ramBytes: Int = 4 << 20, vramMiB: UInt64 = 64,
    failures: FailurePlan = FailurePlan(),
    configuration: GPUConfiguration = GPUConfiguration()
  ) throws {
    let choices: any Choices = seed.map { RandomWalkChoices(seed: $0) } ?? FIFOChoices()
    kernel = Kernel(choices: choices, failures: failures)
    mm = try MemoryManager(kernel, MemoryConfiguration(ramBytes: ramBytes))
    let dma = try DMAAddressSpace(kernel, ram: mm.ram)
    var configuration = configuration
    configuration.vramBytes = vramMiB << 20
    gpu = try EmulatedGPU(kernel, configuration: configuration, dma: dma)
  }

  /// Brings the GPU up, runs `body`, shuts down. Nothing may be left on either side, and the GPU
  /// may have nothing to complain of.
  func withDevice(
    _ options: DriverOptions = DriverOptions(), isSound: Bool = true,
    _ body: @escaping (NouveauDevice) async throws(KernelError) -> Void
  ) throws {
    let result = try kernel.runThrowing { () async throws(KernelError) in
      let device = try await NouveauDevice.probe(kernel, mm, gpu, options: options)
      var failure: KernelError?
      do throws(KernelError) { try await body(device) } catch { failure = error }
      await device.shutdown()
      #expect(device.usage == DeviceUsage())
      if let failure { throw failure }
    }
    try result.get()
    #expect(gpu.dma.badUnmaps.isEmpty)
    #expect(gpu.unimplemented.isEmpty)
    if isSound { #expect(gpu.audit() == []) }
  }
}

extension NouveauDevice {
  /// Copies pages within VRAM on the driver's own channel.
  func copy(_ from: UInt64, _ to: UInt64, pages: Int = 1) async throws(KernelError) -> NouveauFence
  {
    let methods = copyMethods
    return try await copyChannel.withFence(dwords: methods.copyDwords) { writer in
      methods.copyPages(
        &writer, from: .vram(VRAMAddress(from)), to: .vram(VRAMAddress(to)), pages: pages)
    }.fence
  }
}
