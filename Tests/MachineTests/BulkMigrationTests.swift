import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// The bulk path: batches, holes, refusals, and what the GPU's page tables say afterwards.
@Suite struct BulkMigrationTests {
  @Test(arguments: Order.several)
  func wholeRange_movesAndReadsBack(order: Order) throws {
    try withBench(pages: 40, order: order) { bench in
      try await bench.fill(0..<40)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.requested == 40 && result.moved == 40 && result.error == nil)
      #expect(bench.onDevice(0..<40) == 40)
      #expect(await bench.damaged(0..<40) == [])
      #expect(bench.onDevice(0..<40) == 0)
    }
  }

  /// bugs.md N01: 259 pages need three batches of 128, 128 and 3.
  @Test func longRange_movesInBatchesToItsEnd() throws {
    try withBench(pages: 300, configure: { $0.policy.batchPages = 128 }) { bench in
      try await bench.fill(0..<300)
      let result = try await bench.process.migrateToDevice(bench.range(0..<259))
      #expect(result.moved == 259)
      #expect(bench.onDevice(0..<259) == 259)
      // N02: the tail batch ends where the range ends.
      #expect(bench.onDevice(259..<300) == 0)
      #expect(await bench.damaged(0..<300) == [])
    }
  }

  /// Contiguous pages share a launch: one run for a batch of fresh pages.
  @Test func contiguousPages_shareALaunch() throws {
    try withBench(pages: 64) { bench in
      try await bench.fill(0..<64)
      let before = bench.counters.launches
      _ = try await bench.process.migrateToDevice(bench.all)
      #expect(bench.counters.launches - before < 8)
    }
  }

  /// bugs.md N10: a hole and the zero page become cleared device pages.
  @Test(arguments: Order.several)
  func holesAndZeroPages_becomeClears(order: Order) throws {
    try withBench(pages: 6, order: order) { bench in
      let space = bench.process.space
      try await space.touch(bench.address(1), write: false)
      try await bench.fill(2..<3)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == 6)
      #expect(bench.counters.cleared == 5)
      let zeros = [UInt8](repeating: 0, count: PageSize.bytes)
      for page in [0, 1, 3, 4, 5] {
        #expect(
          try await bench.process.deviceLoad(bench.address(page), count: PageSize.bytes) == zeros)
        #expect(try await space.load(bench.address(page), count: PageSize.bytes) == zeros)
      }
      #expect(await bench.damaged(2..<3) == [])
    }
  }

  /// bugs.md N11: a page that stays gets no GPU entry, and the GPU reads it in RAM.
  @Test func pinnedPage_staysAndHasNoDeviceEntry() throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      let pinned = try await bench.process.space.pin(bench.address(1), pages: 1, write: true)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == 3 && result.skipped == 1)
      #expect(bench.process.deviceTranslation(bench.address(1)) == .none)
      #expect(!bench.isOnDevice(1))
      let seen = try await bench.process.deviceLoad(bench.address(1), count: PageSize.bytes)
      #expect(seen == Bench.pattern(1))
      bench.process.space.unpin(pinned)
      #expect(try await bench.process.migrateToDevice(bench.range(1..<2)).moved == 1)
    }
  }

  @Test func rangeOverTwoMappings_movesBoth() throws {
    try withBench(pages: 16) { bench in
      try await bench.fill(0..<16)
      try await bench.process.space.protect(bench.range(4..<8), .read)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == 16)
      #expect(await bench.damaged(0..<16) == [])
    }
  }

  /// R17: the GPU may write only what the CPU's entry allowed to write.
  @Test func readOnlyPages_areReadOnlyForTheDevice() throws {
    try withBench(pages: 2) { bench in
      try await bench.fill(0..<2)
      try await bench.process.space.protect(bench.range(0..<1), .read)
      _ = try await bench.process.migrateToDevice(bench.all)
      guard case .vram(_, let first) = bench.process.deviceTranslation(bench.address(0)),
        case .vram(_, let second) = bench.process.deviceTranslation(bench.address(1))
      else {
        Issue.record("both pages have an entry")
        return
      }
      #expect(!first && second)
      await #expect(throws: DeviceAccessError.cancelled(bench.address(0))) {
        try await bench.process.deviceStore(bench.address(0), [1])
      }
      #expect(await bench.damaged(0..<2) == [])
    }
  }

  @Test(arguments: [0..<0, 0..<8, 4..<8])
  func badRange_isRefusedAndChangesNothing(pages: Range<Int>) throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      await #expect(throws: KernelError.EINVAL) {
        _ = try await bench.process.migrateToDevice(bench.range(pages))
      }
      #expect(bench.onDevice(0..<4) == 0)
      #expect(bench.counters.toDevice == 0)
    }
  }

  @Test func unalignedRange_isRefused() throws {
    try withBench(pages: 4) { bench in
      let range = VirtualRange(bench.address(0, 8), bench.address(2))
      await #expect(throws: KernelError.EINVAL) {
        _ = try await bench.process.migrateToDevice(range)
      }
    }
  }

  @Test func pagesOnTheDevice_areSkippedTheSecondTime() throws {
    try withBench(pages: 8) { bench in
      try await bench.fill(0..<8)
      #expect(try await bench.process.migrateToDevice(bench.range(0..<4)).moved == 4)
      #expect(try await bench.process.migrateToDevice(bench.all).moved == 4)
      #expect(bench.onDevice(0..<8) == 8)
    }
  }

  /// VRAM for three chunks, a range of five: three quarters move and nothing is an error.
  @Test func moreThanVRAM_movesWhatFits() throws {
    try withBench(pages: 5 * 512, configure: { $0.gpu.vramBytes = 9 << 20 }) { bench in
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.error == nil)
      #expect(result.moved > 0 && result.moved < bench.pages)
      #expect(result.moved % 512 == 0)
    }
  }

  /// bugs.md V09: a CPU store races with filling an empty place; the store's bytes win everywhere.
  @Test(arguments: (1...200).map { Order.random(seed: $0) })
  func storeIntoAHole_racesMigration(order: Order) throws {
    try withBench(pages: 2, order: order) { bench in
      let machine = bench.machine
      let writer = machine.kernel.spawn("writer") {
        try? await bench.process.space.store(bench.address(0, 8), [7, 8, 9])
      }
      _ = try await bench.process.migrateToDevice(bench.all)
      await writer.join()
      let bytes = try await bench.process.deviceLoad(bench.address(0, 8), count: 3)
      #expect(bytes == [7, 8, 9], "\(order)")
      #expect(try await bench.process.space.load(bench.address(0, 8), count: 3) == [7, 8, 9])
    }
  }
}
