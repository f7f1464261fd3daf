import Base
import KernelRuntime
import LinuxMM
import Testing

/// Each point that huge pages pass, struck at its 1st, 2nd, … n-th passage, once or from then on.
@Suite struct HugeSweepTests {
  static let pages = HugePage.pages
  static let points: [InjectionPoint] = [
    .hugeAlloc, .folioSplit, .pageLock, .migrateCollect, .migrateCommit, .pageTableAlloc,
  ]
  private static let step = 101

  private func flow(_ machine: TestMachine, _ comment: String) async {
    let space = machine.space
    guard let start = try? await space.map(bytes: 4 << 20, .readWrite) else { return }
    let range = VirtualRange(start: start, pages: 2 * Self.pages)
    var known: [Int: UInt64] = [:]
    for page in stride(from: 0, to: range.pages, by: Self.step) {
      guard (try? await machine.fill(range, page)) != nil else { continue }
      known[page] = TestMachine.word(page)
    }
    func expectBytes(_ step: String, _ lost: Range<Int> = 0..<0) async {
      for page in stride(from: 0, to: range.pages, by: Self.step) where !lost.contains(page) {
        guard let word = try? await machine.read(range.page(page)) else { continue }
        #expect(word == known[page] ?? 0, "page \(page) after \(step), \(comment)")
      }
    }
    let device = machine.device
    _ = try? await device.takeHuge(space, range)
    await expectBytes("huge migration and return")
    _ = try? await device.takeHuge(space, range, splits: true)
    _ = try? await device.evict()
    await expectBytes("split and eviction")
    _ = try? await space.collapse(range)
    _ = try? await device.takeHuge(space, range)
    let child = try? await space.fork("child")
    _ = try? await space.discard(range.subrange(600..<700))
    await expectBytes("a partial discard", 600..<700)
    if let bytes = try? await child?.load(range.page(606), count: 8) {
      #expect(
        UInt64(littleEndianBytes: bytes) == known[606] ?? 0, "page 606 of the child, \(comment)")
    }
    await child?.exit()
    _ = try? await device.take(space, range.subrange(0..<200))
    await expectBytes("a migration of base pages", 600..<700)
    await machine.mm.drainLRUOfAllCPUs()
  }

  @Test(arguments: points)
  func nthFailure_losesNothing(point: InjectionPoint) throws {
    var passages = UInt64.max
    var nth: UInt64 = 1
    while nth <= passages {
      for lasting in [false, true] {
        let comment = "\(point.name) \(lasting ? "from" : "at") passage \(nth)"
        let machine = try TestMachine.huge()
        machine.kernel.failures.arm(point, lasting ? .from(nth) : .nth(nth))
        try machine.run(comment) { await self.flow(machine, comment) }
        if machine.kernel.failures.rules.first?.strikes == 0 { passages = nth - 1 }
        machine.kernel.failures.disarm()
        try machine.run(comment) {
          await machine.space.exit()
          machine.mm.splitDeferred()
        }
        #expect(machine.mm.freeSystemPages == 4095, "\(comment)")
        #expect(machine.device.pagemap.references == 0, "\(comment)")
      }
      // Passages of base pages come by the hundred: after the first ones, some will do.
      nth = nth < 4 ? nth + 1 : nth * 3
    }
    #expect(nth > 1, "\(point.name) was never passed")
  }

  /// A driver that can neither copy nor place the page abandons; the page stays whole and readable
  /// once it can.
  @Test func aFailedCopy_leavesThePageOnTheDevice() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 50)
      try await machine.device.takeHuge(machine.space, range)
      machine.kernel.failures.arm(.hugeAlloc, .from(1))
      machine.kernel.failures.arm(.pageAlloc, .nth(100))
      await expectThrows(AccessError.outOfMemory(range.page(9))) {
        try await machine.read(range.page(9))
      }
      machine.kernel.failures.disarm()
      #expect(machine.isHuge(range) && machine.location(range).isDevice)
      try await machine.expectPattern(range, step: 50)
      #expect(machine.isHuge(range) && machine.location(range).isRAM)
    }
  }
}
