import Base
import KernelRuntime
import LinuxMM
import Testing

/// What holds in every generation of the API alike.
@Suite struct FormsTests {
  enum Form: String, CaseIterable, Sendable {
    case callbacks2017, threeCalls2019, sevenSteps2020, unified2025
  }

  /// Moves a range in one of the forms.
  static func migrate(
    _ form: Form, _ machine: TestMachine, _ range: VirtualRange
  ) async throws -> Int {
    let device = machine.device
    switch form {
    case .callbacks2017: return try await device.migrate2017(machine.space, range)
    case .threeCalls2019: return try await device.migrate2019(machine.space, range)
    case .sevenSteps2020: return try await device.migrate2020(machine.space, range)
    case .unified2025:
      let mirror = try machine.space.insertNotifier(range, OwnersMirror(device.owner))
      let moved = try await device.migrate2025(machine.space, mirror, range)
      await mirror.remove()
      return moved
    }
  }

  /// Calls a form's first step with these bounds; what it throws, nil for success.
  static func attempt(
    _ form: Form, _ machine: TestMachine, _ start: VirtualAddress, _ end: VirtualAddress, room: Int
  ) async -> KernelError? {
    let space = machine.space
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    let request = MigrationRequest(
      start: start, end: end, owner: machine.device.owner, select: .system)
    do throws(KernelError) {
      switch form {
      case .callbacks2017:
        var sources = [FirstMigratePFN](repeating: .empty, count: room)
        var destinations = sources
        var calls = 0
        let operations = MigrateVMAOperations<Int>(
          allocateAndCopy: { _, _, _, _, calls in calls += 1 },
          finalizeAndMap: { _, _, _, _, calls in calls += 1 })
        try await space.migrateVMA(
          operations, space.find(start), start: start, end: end, sources: &sources,
          destinations: &destinations, private: &calls)
      case .threeCalls2019:
        let range = VirtualRange(start, max(start, end))
        let arguments = MigrateVMAArguments(space, space.find(start), range, room: room)
        arguments.end = end
        try await arguments.setup()
        await arguments.commit()
        arguments.finalize()
      case .sevenSteps2020:
        try await space.migrateSetup(request, MigrationBuffers(pages: room)).abandon()
      case .unified2025:
        try await space.migrateSetup(request, MigrationBuffers(pages: room), faults: .missing)
          .abandon()
      }
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: Form.allCases) func theFlow_movesPages_andTheyComeBack(_ form: Form) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 16)
      #expect(try await Self.migrate(form, machine, range) == 16)
      #expect((0..<16).allSatisfy { machine.location(range, $0).isDevice })
      try machine.check()
      try await machine.expectPattern(range)
    }
  }

  /// "It is important to stress that these migration helpers allow for holes in the virtual address
  /// range", but only the later forms fill them.
  @Test(arguments: Form.allCases) func holesAndZeroPages(_ form: Form) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      _ = try await machine.read(range.page(1))
      try await machine.fill(range, 2)
      let moved = try await Self.migrate(form, machine, range)
      #expect(moved == (form == .callbacks2017 ? 1 : 3))
      #expect(try await machine.read(range.page(0)) == 0)
      #expect(try await machine.read(range.page(1)) == 0)
      #expect(try await machine.read(range.page(2)) == TestMachine.word(2))
    }
  }

  /// "Some pages in the range might not be migrated for all the usual reasons (page is pinned, page
  /// is locked, ...). This helper does not fail but just skips over those pages."
  @Test(arguments: Form.allCases) func pinnedAndLockedPages_areSkipped(_ form: Form) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      let pinned = try await machine.space.pin(range.page(1), pages: 1, write: true)
      let locked = try machine.frame(range, 2)
      #expect(machine.mm.tryLock(locked))
      #expect(try await Self.migrate(form, machine, range) == 2)
      #expect(machine.location(range, 1).isRAM && machine.location(range, 2).isRAM)
      machine.mm.unlock(locked)
      machine.space.unpin(pinned)
      try await machine.expectPattern(range)
    }
  }

  /// A device that runs out of pages leaves the rest in place.
  @Test(arguments: Form.allCases) func aDriverMayDecline(_ form: Form) throws {
    let machine = try TestMachine(devicePages: 3)
    try machine.run {
      let range = try await machine.map(pages: 8)
      #expect(try await Self.migrate(form, machine, range) == 3)
      #expect(machine.device.free.isEmpty)
      try await machine.expectPattern(range)
    }
  }

  @Test(arguments: Form.allCases, [InjectionPoint.pageLock, .migrateCollect, .migrateCommit])
  func injectedFailures_loseNothing(_ form: Form, _ point: InjectionPoint) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6)
      machine.kernel.failures.arm(point, .nth(3))
      #expect(try await Self.migrate(form, machine, range) == 5)
      machine.kernel.failures.disarm()
      try await machine.expectPattern(range)
    }
  }
}

/// A mirror that lets its owner's migrations pass, as the document of 2020 allows.
final class OwnersMirror: IntervalNotifierOperations {
  let owner: PagemapOwner?
  var events: [NotifierEvent] = []

  init(_ owner: PagemapOwner?) { self.owner = owner }

  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    events.append(event)
    if event.kind == .migrate, let owner, event.owner === owner { return true }
    notifier.setSequence(sequence)
    return true
  }
}
