import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Huge pages that stay whole in device memory, where the policy asks for it.
@Suite struct HugeFolioTests {
  static let pages = HugePage.pages

  /// A machine whose process maps `blocks` times 2 MiB, aligned, in huge pages.
  private static func withBlocks(
    _ blocks: Int, vram: UInt64 = 32 << 20, order: Order = .fifo,
    configure: (inout MachineConfiguration) -> Void = { _ in },
    _ body: @escaping (Bench) async throws -> Void
  ) throws {
    try withBench(
      pages: 1, order: order, ram: 32 << 20,
      configure: { configuration in
        configuration.gpu.vramBytes = vram
        configuration.hugePages = .always
        configuration.policy.hugeFolios = true
        configure(&configuration)
      }
    ) { bench in
      let start = VirtualAddress(0x4000_0000)
      let bytes = UInt64(blocks * PageSize.hugeBytes)
      _ = try await bench.process.space.map(bytes: bytes, .readWrite, at: start)
      let wide = Bench(
        machine: bench.machine, process: bench.process, start: start, pages: blocks * Self.pages)
      for page in stride(from: 0, to: wide.pages, by: 37) { try await wide.fill(page..<(page + 1)) }
      try await body(wide)
    }
  }

  /// Whether every page that was filled has its bytes and a neighbour is still empty.
  private static func isIntact(_ bench: Bench) async -> Bool {
    for page in stride(from: 0, to: bench.pages, by: 37) {
      if await bench.damaged(page..<(page + 1)) != [] { return false }
    }
    let zeros = try? await bench.process.space.load(bench.address(1), count: 64)
    return zeros == [UInt8](repeating: 0, count: 64)
  }

  private static func isHuge(_ bench: Bench, _ block: Int = 0) -> Bool {
    bench.process.space.isMappedHuge(bench.address(block * pages))
  }

  @Test func aHugePage_goesAndComesWhole_inOneLaunchEach() throws {
    try Self.withBlocks(2) { bench in
      let result = try await bench.process.migrateToDevice(bench.all, explains: true)
      #expect(result.moved == 2 * Self.pages && result.split == [] && result.stayed == [])
      #expect(bench.counters.launches == 2 && bench.counters.hugeToDevice == 2)
      #expect(bench.isOnDevice(0) && Self.isHuge(bench) && Self.isHuge(bench, 1))
      #expect(bench.process.space.counters.devicePages == 2 * Self.pages)
      #expect(bench.machine.audit() == [])
      let seen = try await bench.process.deviceLoad(bench.address(37), count: 16)
      #expect(seen == Array(Bench.pattern(37)[..<16]))
      // One touch brings one block, whole.
      #expect(await bench.damaged(37..<38) == [])
      #expect(!bench.isOnDevice(0) && bench.isOnDevice(Self.pages) && Self.isHuge(bench))
      #expect(bench.counters.faults == 1 && bench.counters.launches == 3)
      #expect(bench.counters.hugeToRAM == 1 && bench.counters.toRAM == UInt64(Self.pages))
      #expect(bench.machine.mm.hugeCounters.splits == 0)
      #expect(try await bench.process.migrateToRAM(bench.all) == Self.pages)
      #expect(Self.isHuge(bench, 1) && bench.counters.launches == 4)
      #expect(await Self.isIntact(bench))
    }
  }

  /// Linux 6.12's behaviour stays the default.
  @Test func withoutThePolicy_hugePagesAreSplit() throws {
    try Self.withBlocks(1, configure: { $0.policy.hugeFolios = false }) { bench in
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == Self.pages && !Self.isHuge(bench))
      #expect(bench.counters.hugeToDevice == 0)
      #expect(bench.machine.mm.hugeCounters.splits == 1)
      #expect(await Self.isIntact(bench))
    }
  }

  @Test func theHugeZeroPage_isClearedWhole() throws {
    try Self.withBlocks(1) { bench in
      try await bench.process.space.advise(bench.all, .dontNeed)
      _ = try await bench.process.space.load(bench.address(5), count: 8)
      #expect(Self.isHuge(bench))
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.moved == Self.pages && bench.counters.cleared == UInt64(Self.pages))
      let zeros = [UInt8](repeating: 0, count: 8)
      #expect(try await bench.process.deviceLoad(bench.address(300), count: 8) == zeros)
      #expect(try await bench.process.space.load(bench.address(301), count: 8) == zeros)
    }
  }

  /// VRAM has free pages, but no chunk that is free as a whole.
  @Test func withoutAWholeChunk_theBlockIsSplit_andSaysWhy() throws {
    try Self.withBlocks(3, vram: 16 << 20) { bench in
      // Another mapping fills VRAM, and then keeps one page of each chunk.
      let other = VirtualAddress(0x6000_0000)
      let bytes = UInt64(8 * PageSize.hugeBytes)
      _ = try await bench.process.space.map(bytes: bytes, .readWrite, at: other)
      try await bench.process.space.adviseHuge(VirtualRange(start: other, bytes: bytes), false)
      _ = try await bench.process.migrateToDevice(VirtualRange(start: other, bytes: bytes))
      for block in 0..<8 {
        let start = other + (block * Self.pages + 1) * PageSize.bytes
        _ = try await bench.process.migrateToRAM(
          VirtualRange(start: start, pages: Self.pages - 1))
      }
      let first = try await bench.process.migrateToDevice(bench.all, explains: true)
      let whole = first.requested / Self.pages - first.split.count
      #expect(first.split.count > 0)
      #expect(first.split.allSatisfy { $0.reason.kind == .noDeviceMemory })
      #expect(first.split.allSatisfy { $0.range.pages == Self.pages })
      #expect(Int(bench.counters.hugeToDevice) == whole)
      #expect(bench.counters.hugeSplits == UInt64(first.split.count))
      #expect(await Self.isIntact(bench))
      try await bench.process.space.unmap(VirtualRange(start: other, bytes: bytes))
    }
  }

  @Test func aPinnedHugePage_stays_andSaysWhy() throws {
    try Self.withBlocks(1) { bench in
      let pin = try await bench.process.space.pin(bench.address(40), pages: 1, write: true)
      let result = try await bench.process.migrateToDevice(bench.all, explains: true)
      #expect(result.moved == 0 && bench.counters.launches == 0)
      #expect(result.stayed.map(\.range.pages).reduce(0, +) == Self.pages)
      #expect(bench.inUse(0) == 0)
      bench.process.space.unpin(pin)
      #expect(try await bench.process.migrateToDevice(bench.all).moved == Self.pages)
    }
  }

  /// No huge page of RAM: the block comes back as base pages, all of them for one touch.
  @Test func noHugePageOfRAM_bringsItBackInParts() throws {
    try Self.withBlocks(1) { bench in
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(.hugeAlloc, .from(1))
      #expect(await bench.damaged(74..<75) == [])
      bench.machine.kernel.failures.disarm()
      #expect(!Self.isHuge(bench) && bench.onDevice(0..<Self.pages) == 0)
      #expect(bench.counters.hugeSplits == 1 && bench.counters.folioSplits == 1)
      #expect(await Self.isIntact(bench))
    }
  }

  /// A part that is unmapped comes back to its chunk alone.
  @Test func aPartUnmapped_splitsTheDevicePage() throws {
    try Self.withBlocks(1) { bench in
      _ = try await bench.process.migrateToDevice(bench.all)
      try await bench.process.space.unmap(bench.range(100..<200))
      #expect(bench.inUse(0) == Self.pages - 100 && bench.counters.folioSplits == 1)
      #expect(bench.machine.audit() == [])
      #expect(await bench.damaged(37..<38) == [])
      #expect(bench.inUse(0) == Self.pages - 101)
      #expect(await bench.damaged(222..<223) == [])
    }
  }

  @Test func forkSharesIt_andAStoreOfTheGPUSplitsIt() throws {
    try Self.withBlocks(1) { bench in
      _ = try await bench.process.migrateToDevice(bench.all)
      let child = try await bench.machine.fork(bench.process, "child")
      #expect(child.space.isMappedHuge(bench.start))
      try await bench.process.deviceStore(bench.address(37), [1, 2, 3])
      #expect(
        try await child.space.load(bench.address(37), count: 3) == Array(Bench.pattern(37)[..<3]))
      #expect(try await bench.process.space.load(bench.address(37), count: 3) == [1, 2, 3])
      await child.exit()
      try await bench.fill(37..<38)
      #expect(await Self.isIntact(bench))
    }
  }

  /// Each passage of each failure on the way there, back and at teardown.
  @Test(arguments: [
    InjectionPoint.dmaMap, .copySubmit, .fenceEmit, .fenceStall, .copyError, .copyFault,
    .migrateCollect, .migrateCommit, .pageLock, .folioSplit, .hugeAlloc, .pageAlloc, .memremap,
    .gpuPageTable, .pageTableAlloc, .bufferPin,
  ])
  func oneFailure_losesNothing(point: InjectionPoint) throws {
    for nth in [UInt64(1), 2, 3, 300] {
      try Self.withBlocks(1) { bench in
        bench.arm(point, nth: nth, error: point.errors.first)
        _ = try? await bench.process.migrateToDevice(bench.all)
        _ = try? await bench.process.space.load(bench.address(300), count: 8)
        _ = try? await bench.process.migrateToDevice(bench.range(0..<Self.pages))
        _ = try? await bench.process.migrateToRAM(bench.all)
        _ = try? await bench.process.migrateToDevice(bench.all)
        bench.machine.kernel.failures.disarm()
        #expect(bench.machine.audit() == [], "\(point.name) \(nth)")
        #expect(await Self.isIntact(bench), "\(point.name) \(nth)")
        _ = try? await bench.process.migrateToDevice(bench.all)
      }
    }
  }

  @Test(arguments: Order.several) func racingFaults_findEveryByte(order: Order) throws {
    try Self.withBlocks(2, order: order) { bench in
      let kernel = bench.machine.kernel
      let tasks = [
        kernel.spawn("mover") { _ = try? await bench.process.migrateToDevice(bench.all) },
        kernel.spawn("cpu") {
          _ = try? await bench.process.space.load(bench.address(37), count: 8)
        },
        kernel.spawn("gpu") {
          _ = try? await bench.process.deviceLoad(bench.address(74), count: 8)
        },
        kernel.spawn("back") { _ = try? await bench.process.migrateToRAM(bench.all) },
      ]
      for task in tasks { await task.join() }
      #expect(bench.machine.audit() == [])
      #expect(await Self.isIntact(bench))
    }
  }

  /// Between two GPUs a huge page goes as base pages, in as few launches as its chunks allow.
  @Test func toAnotherGPU_itIsSplit() throws {
    try Self.withBlocks(
      1,
      configure: { configuration in
        configuration.moreGPUs = [configuration.gpu]
        configuration.policy.peers = .direct
      }
    ) { bench in
      _ = try await bench.process.migrateToDevice(bench.all)
      let result = try await bench.process.migrateToDevice(bench.all, gpu: 1)
      #expect(result.fetched.direct == Self.pages && bench.inUse(1) == Self.pages)
      #expect(await Self.isIntact(bench))
    }
  }
}
