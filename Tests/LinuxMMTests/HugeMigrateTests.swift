import Base
import KernelRuntime
import LinuxMM
import Testing

/// Huge pages under a migration that doesn't ask for them: Linux 6.12 splits each one first.
@Suite struct HugeMigrateTests {
  static let pages = HugePage.pages

  @Test func theDriver_seesBasePages() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      #expect(try await machine.device.take(machine.space, range) == Self.pages)
      #expect(!machine.isHuge(range) && machine.location(range, 9).isDevice)
      #expect(machine.mm.hugeCounters.splits == 1)
      #expect(machine.space.counters.devicePages == Self.pages)
      try await machine.expectPattern(range)
      #expect(machine.device.faults == Self.pages)
    }
  }

  @Test func aPartOfAHugePage_movesAlone() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      #expect(try await machine.device.take(machine.space, range.subrange(100..<110)) == 10)
      #expect(machine.location(range, 99).isRAM && machine.location(range, 100).isDevice)
      try await machine.expectPattern(range)
    }
  }

  @Test func theHugeZeroPage_isPlacesToClear() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      _ = try await machine.read(range.start)
      let free = machine.mm.freeSystemPages
      #expect(try await machine.device.take(machine.space, range) == Self.pages)
      #expect(machine.mm.freeSystemPages == free + Self.pages)
      #expect(machine.mm.hugeCounters.splits == 0 && machine.mm.hugeCounters.splitEntries == 1)
      for page in stride(from: 0, to: Self.pages, by: 50) {
        #expect(try await machine.read(range.page(page)) == 0)
      }
    }
  }

  enum Hindrance: CaseIterable { case pin, lock, failure }

  /// A huge page that can't be split is passed over; the range around it moves.
  @Test(arguments: Hindrance.allCases)
  func whatCantBeSplit_isPassedOver(hindrance: Hindrance) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(2, step: 1)
      let head = try machine.frame(range)
      var pin: PinnedPages?
      switch hindrance {
      case .pin: pin = try await machine.space.pin(range.page(7), pages: 1, write: true)
      case .lock: _ = machine.mm.tryLock(head)
      case .failure: machine.kernel.failures.arm(.folioSplit, .nth(1))
      }
      #expect(try await machine.device.take(machine.space, range) == Self.pages)
      #expect(machine.isHuge(range) && machine.location(range, Self.pages).isDevice)
      #expect(machine.mm.hugeCounters.migrationSplitFailures == 1)
      switch hindrance {
      case .pin:
        let reason = machine.space.why(range.page(7))
        #expect(reason?.kind == .pinned && reason?.use?.pins == 1)
        pin.map { machine.mm.unpin($0) }
      case .lock:
        #expect(machine.space.why(range.page(7))?.kind == .locked)
        machine.mm.unlock(head)
      case .failure: machine.kernel.failures.disarm()
      }
      #expect(machine.space.why(range.page(7)) == nil)
      try await machine.expectPattern(range)
      #expect(try await machine.device.take(machine.space, range) == 2 * Self.pages)
      try await machine.expectPattern(range)
    }
  }

  /// Parts of a huge page that lost other parts stay, as in 6.12, until pressure splits it.
  @Test func parts_stayUntilSplit() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.unmap(range.subrange(0..<100))
      let rest = range.subrange(100..<Self.pages)
      #expect(try await machine.device.take(machine.space, rest) == 0)
      #expect(machine.space.why(rest.start)?.kind == .splitFailed)
      machine.mm.splitDeferred()
      #expect(try await machine.device.take(machine.space, rest) == rest.pages)
      #expect(try await machine.read(range.page(100)) == TestMachine.word(100))
    }
  }

  @Test func aNotifierOfTheSplit_mayMigrateToo() throws {
    for seed in UInt64(0)..<20 {
      let machine = try TestMachine.huge(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.mapHuge(step: 64)
        let mirror = QuietMirror()
        let notifier = try machine.space.insertNotifier(range, mirror)
        _ = await notifier.readBegin()
        let mover = machine.kernel.spawn("mover") {
          do { try await machine.device.take(machine.space, range) } catch {
            Issue.record("\(error)")
          }
        }
        try await machine.space.discard(range.subrange(65..<100))
        try await machine.device.take(machine.space, range.subrange(0..<200))
        await mover.join()
        try await machine.expectPattern(range, step: 64, "seed \(seed)")
        await notifier.remove()
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }
}
