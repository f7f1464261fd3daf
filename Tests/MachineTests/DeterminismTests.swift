import Base
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// The same seed gives the same trace, byte for byte.
@Suite struct DeterminismTests {
  private func trace(_ order: Order) throws -> String {
    var text = ""
    try withBench(pages: 24, order: order, configure: { $0.isTracing = true }) { bench in
      let kernel = bench.machine.kernel
      try await bench.fill(0..<24)
      let mover = kernel.spawn("mover") {
        _ = try? await bench.process.migrateToDevice(bench.all)
      }
      let reader = kernel.spawn("reader") { _ = await bench.damaged(3..<9) }
      let device = kernel.spawn("gpu") {
        try? await bench.process.deviceStore(bench.address(20), [1, 2, 3])
      }
      for task in [mover, reader, device] { await task.join() }
      text = kernel.trace.text()
    }
    return text
  }

  @Test(arguments: Order.several)
  func sameSeed_givesTheSameTraceTwice(order: Order) throws {
    let first = try trace(order)
    #expect(!first.isEmpty)
    #expect(try trace(order) == first)
  }

  @Test func differentSeeds_giveDifferentOrders() throws {
    var traces: [String] = []
    for seed in UInt64(1)...6 { traces.append(try trace(.random(seed: seed))) }
    #expect(Set(traces).count > 1)
  }
}
