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
}
