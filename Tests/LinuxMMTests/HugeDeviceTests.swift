import Base
import KernelRuntime
import LinuxMM
import Testing

/// Huge pages in device memory: the rule set of drivers that select `compound`.
@Suite struct HugeDeviceTests {
  static let pages = HugePage.pages

  @Test func twoMegabytes_moveAsOneWord() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let moved = try await machine.device.takeHuge(machine.space, range)
      #expect(moved.count == 1 && moved[0].isCompound && moved[0].isWritable)
      #expect(machine.isHuge(range) && machine.location(range, 9).isDevice)
      #expect(machine.space.counters.devicePages == Self.pages)
      #expect(machine.device.pagemap.references == Self.pages)
      #expect(machine.mm.hugeCounters.splits == 0)
      // One touch brings all back, whole.
      #expect(try await machine.read(range.page(7)) == TestMachine.word(7))
      #expect(machine.isHuge(range) && machine.device.faults == 1)
      #expect(machine.mm.isHuge(try machine.frame(range)))
      try await machine.expectPattern(range)
      #expect(machine.device.faults == 1 && machine.device.freed.count == Self.pages)
      try await machine.write(range.page(9), 3)
      #expect(try await machine.read(range.page(9)) == 3)
    }
  }

  @Test func emptyAndZeroPlaces_moveAsOne() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(2, filled: false)
      _ = try await machine.read(range.start)
      let moved = try await machine.device.takeHuge(machine.space, range)
      #expect(moved.count == 2 && moved.allSatisfy { $0.isCompound && !$0.isValid })
      #expect(machine.isHuge(range) && machine.isHuge(range, Self.pages))
      #expect(machine.space.counters.devicePages == 2 * Self.pages)
      #expect(machine.space.counters.residentPages == 2 * Self.pages)
      #expect(try await machine.read(range.page(3)) == 0)
      #expect(try await machine.read(range.page(Self.pages + 3)) == 0)
    }
  }

  @Test func aDestinationThatIsNotHuge_splitsTheSource() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(2, step: 1)
      let empty = try await machine.mapHuge(filled: false)
      #expect(
        try await machine.device.takeHuge(machine.space, range, splits: true).count
          == 2 * Self.pages)
      #expect(
        try await machine.device.takeHuge(machine.space, empty, splits: true).count == Self.pages)
      #expect(!machine.isHuge(range) && machine.location(range, 700).isDevice)
      #expect(machine.mm.hugeCounters.migrationSplits == 2)
      try await machine.expectPattern(range)
      #expect(try await machine.read(empty.page(3)) == 0)
    }
  }

  @Test func noHugePageInRAM_bringsItBackInParts() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      machine.kernel.failures.arm(.hugeAlloc, .from(1))
      #expect(try await machine.read(range.page(7)) == TestMachine.word(7))
      machine.kernel.failures.disarm()
      #expect(!machine.isHuge(range) && machine.location(range, 511).isRAM)
      #expect(machine.device.faults == 1 && machine.device.splits.count == 1)
      try await machine.expectPattern(range)
      #expect(machine.device.pagemap.references == 0)
    }
  }

  enum Failure: CaseIterable { case lock, collect, commit, split, driverGivesNothing }

  /// Whatever fails, the page stays huge and keeps its bytes.
  @Test(arguments: Failure.allCases)
  func aFailure_leavesItWhole(failure: Failure) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      switch failure {
      case .lock: machine.kernel.failures.arm(.pageLock, .nth(1))
      case .collect: machine.kernel.failures.arm(.migrateCollect, .nth(1))
      case .commit: machine.kernel.failures.arm(.migrateCommit, .nth(1))
      case .split: machine.kernel.failures.arm(.folioSplit, .nth(1))
      case .driverGivesNothing: machine.device.free = []
      }
      let splits = failure == .split || failure == .driverGivesNothing
      let moved = try await machine.device.takeHuge(machine.space, range, splits: splits)
      #expect(moved.isEmpty && machine.isHuge(range) && machine.location(range, 5).isRAM)
      machine.kernel.failures.disarm()
      try await machine.expectPattern(range)
      #expect(machine.mm.isOnLRU(try machine.frame(range)))
    }
  }

  @Test(arguments: [0..<256, 128..<384, 256..<512])
  func partialUnmap_splitsTheDevicePage(part: Range<Int>) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      try await machine.space.unmap(range.subrange(part))
      // The driver has the part back at once (N18: as many pages as it lost).
      #expect(machine.device.splits.count == 1)
      #expect(machine.device.freed.count == part.count)
      #expect(machine.device.pagemap.references == Self.pages - part.count)
      #expect(machine.space.counters.devicePages == Self.pages - part.count)
      for page in 0..<Self.pages where !part.contains(page) {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      #expect(machine.device.pagemap.references == 0)
    }
  }

  /// N18: pages in use are counted right at each step, in whatever order the halves go.
  @Test(arguments: [true, false])
  func N18_halvesGoInBothOrders(lowFirst: Bool) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      let halves = [range.subrange(0..<256), range.subrange(256..<512)]
      for (number, half) in (lowFirst ? halves : halves.reversed()).enumerated() {
        try await machine.space.unmap(half)
        #expect(machine.device.pagemap.references == (1 - number) * 256)
      }
      #expect(machine.device.freed.count == Self.pages)
    }
  }

  @Test func aPartOfTheRange_splitsIt() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let moved = try await machine.device.takeHuge(machine.space, range.subrange(10..<20))
      #expect(moved.count == 10 && !moved.contains { $0.isCompound })
      try await machine.expectPattern(range)
    }
  }

  @Test func eviction_bringsHugePagesBackWhole() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(2, step: 1)
      try await machine.device.takeHuge(machine.space, range)
      #expect(try await machine.device.evict() == 0)
      #expect(machine.isHuge(range) && machine.isHuge(range, Self.pages))
      try await machine.expectPattern(range)
    }
  }

  @Test func discardDuringAMigration_winsOverIt() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range) {
        let task = machine.kernel.spawn("discarder") {
          do { try await machine.space.discard(range.subrange(0..<100)) } catch {
            Issue.record("\(error)")
          }
        }
        await task.join()
      }
      #expect(machine.location(range, 3) == .none && machine.location(range, 300).isDevice)
      #expect(machine.device.pagemap.references == Self.pages - 100)
      for page in stride(from: 0, to: Self.pages, by: 9) {
        let expected = page < 100 ? 0 : TestMachine.word(page)
        #expect(try await machine.read(range.page(page)) == expected, "page \(page)")
      }
    }
  }

  @Test func touchesDuringAMigration_wait() throws {
    for seed in UInt64(0)..<30 {
      let machine = try TestMachine.huge(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.mapHuge(step: 50)
        let tasks = [
          machine.kernel.spawn("mover") {
            // Refused while the mapping is in two.
            do { try await machine.device.takeHuge(machine.space, range) } catch {
              #expect(error as? KernelError == .EINVAL)
            }
          },
          machine.kernel.spawn("evictor") {
            do { try await machine.device.evict() } catch { Issue.record("\(error)") }
          },
          machine.kernel.spawn("protector") {
            do {
              try await machine.space.protect(range.subrange(0..<20), .read)
              try await machine.space.protect(range, .readWrite)
            } catch { Issue.record("\(error)") }
          },
        ]
        try await machine.expectPattern(range, step: 50, "seed \(seed)")
        for task in tasks { await task.join() }
        try await machine.expectPattern(range, step: 50, "seed \(seed)")
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }

  @Test func memoryFailure_losesOnePage() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      let lost = try machine.frame(range, 6)
      #expect(await machine.mm.memoryFailure(lost))
      await expectThrows(AccessError.sigbus(range.page(6), .EHWPOISON)) {
        try await machine.read(range.page(6))
      }
      #expect(try await machine.read(range.page(7)) == TestMachine.word(7))
    }
  }
}
