import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// The whole flow of device memory on the profile whose copy engine runs microcode.
@Suite struct FalconMachineTests {
  @Test(arguments: Order.several)
  func bytes_goToTheDeviceAndBackThroughTheMicrocode(_ order: Order) throws {
    try withBench(pages: 600, order: order, configure: { $0.gpu.chip = GF100Copy() }) { bench in
      #expect(bench.machine.gpu.chipName == "GF100-PCOPY")
      try await bench.fill(0..<500)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == 600)
      #expect(bench.onDevice(0..<600) == 600)
      // What was never written is cleared by the swizzle.
      let bytes = try await bench.process.deviceLoad(bench.address(550), count: 16)
      #expect(bytes == [UInt8](repeating: 0, count: 16))
      try await bench.process.deviceStore(bench.address(550, 8), [1, 2, 3])
      #expect(await bench.damaged(0..<500) == [])
      #expect(
        try await bench.process.space.load(bench.address(550, 8), count: 4) == [1, 2, 3, 0])
      #expect(bench.machine.gpu.bytesCopied >= 1000 * 4096)
    }
  }
}
