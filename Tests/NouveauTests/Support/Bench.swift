import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import LinuxMM
import Testing

@testable import Nouveau

/// A kernel, a little RAM and a scripted GPU: what most tests of the driver need.
struct Bench {
  let kernel: Kernel
  let mm: MemoryManager
  let gpu: ScriptedGPU

  init(seed: UInt64? = nil, ramBytes: Int = 4 << 20, vramMiB: Int = 64) throws {
    let choices: any Choices = seed.map { RandomWalkChoices(seed: $0) } ?? FIFOChoices()
    try self.init(Kernel(choices: choices), ramBytes: ramBytes, vramMiB: vramMiB)
  }

  init(_ kernel: Kernel, ramBytes: Int = 4 << 20, vramMiB: Int = 64) throws {
    self.kernel = kernel
    mm = try MemoryManager(kernel, MemoryConfiguration(ramBytes: ramBytes))
    gpu = try ScriptedGPU(kernel, ram: mm.ram, vramMiB: vramMiB)
  }

  func probe(_ options: DriverOptions = DriverOptions()) async throws(KernelError) -> NouveauDevice
  {
    try await NouveauDevice.probe(kernel, mm, gpu, options: options)
  }

  /// Runs `body` with a device that has been brought up, and shuts it down; what it held must be
  /// back then.
  func withDevice(
    _ options: DriverOptions = DriverOptions(),
    _ body: @escaping (NouveauDevice) async throws(KernelError) -> Void
  ) throws {
    let result = try kernel.runThrowing { () async throws(KernelError) in
      let device = try await probe(options)
      do throws(KernelError) {
        try await body(device)
      } catch {
        await device.shutdown()
        throw error
      }
      await device.shutdown()
      #expect(device.usage == DeviceUsage())
    }
    try result.get()
    #expect(gpu.dma.badUnmaps.isEmpty)
  }
}

extension KernelError {
  /// The error that `body` throws; nil when it doesn't.
  static func of(_ body: () async throws(KernelError) -> Void) async -> KernelError? {
    do throws(KernelError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }
}
