import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// One of two GPUs falls off the bus and another board takes its slot, while the other works on.
@Suite struct ReplacedPeerTests {
  @Test(arguments: PeerEngine.allCases, [0, 1])
  func newBoard_takesPartAsTheOldOneDid(engine: PeerEngine, lost: Int) throws {
    let kept = 1 - lost
    try withTwoGPUs(pages: 12, peers: .direct, engine: engine) { bench in
      let machine = bench.machine
      // Windows are open in both directions when the board goes.
      try await bench.put(0..<12, on: lost)
      #expect(try await bench.process.migrateToDevice(bench.all, gpu: kept).fetched.direct == 12)
      let back = bench.range(8..<12)
      #expect(try await bench.process.migrateToDevice(back, gpu: lost).fetched.direct == 4)

      machine.gpus[lost].gpu.loseDevice()
      await machine.unbindDriver(gpu: lost)
      for page in 8..<12 {
        await #expect(throws: AccessError.sigbus(bench.address(page), .EHWPOISON)) {
          _ = try await bench.process.space.load(bench.address(page), count: 1)
        }
      }
      // The other GPU's pages never noticed, nor does it read what was lost.
      #expect(await bench.damaged(0..<8, gpu: kept) == [])
      #expect(bench.inUse(kept) == 8)
      await #expect(throws: DeviceAccessError.self) {
        _ = try await bench.process.deviceLoad(bench.address(8), count: 1, gpu: kept)
      }

      try machine.replaceBoard(gpu: lost)
      try await machine.boot(gpu: lost)
      try await bench.process.open(try #require(machine.gpus[lost].svm))
      try await bench.process.space.unmap(back)
      _ = try await bench.process.space.map(bytes: back.bytes, .readWrite, at: back.start)
      try await bench.fill(8..<12)

      let result = try await bench.process.migrateToDevice(bench.all, gpu: lost)
      #expect(result.moved == 12 && result.fetched.direct == 8 && result.fetched.fallback == nil)
      #expect(bench.inUse(lost) == 12 && bench.inUse(kept) == 0)
      #expect(await bench.damaged(0..<12, gpu: lost) == [])
      #expect(try await bench.process.migrateToDevice(bench.all, gpu: kept).fetched.direct == 12)
      #expect(await bench.damaged(0..<12, gpu: kept) == [])
      #expect(await bench.damaged(0..<12) == [])
    }
  }

  /// A slot whose driver is bound keeps its board, and the other slot has nothing to do with it.
  @Test func boundSlot_isBusy() throws {
    try withTwoGPUs(pages: 2, peers: .direct) { bench in
      await bench.machine.unbindDriver(gpu: 1)
      #expect(throws: KernelError.EBUSY) { try bench.machine.replaceBoard(gpu: 0) }
      #expect(throws: KernelError.ENODEV) { try bench.machine.replaceBoard(gpu: 2) }
      try bench.machine.replaceBoard(gpu: 1)
      try await bench.put(0..<2, on: 0)
      #expect(await bench.damaged(0..<2, gpu: 0) == [])
    }
  }
}
