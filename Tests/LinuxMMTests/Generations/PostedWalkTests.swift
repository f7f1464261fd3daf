import Base
import KernelRuntime
import Testing

@testable import LinuxMM

/// Defects of the RFC of 2025 as posted, each beside the form here that doesn't have it. The
/// letters are those of docs/api-generations.md.
@Suite struct PostedWalkTests {
  /// Runs a test whose machine is left as the defect leaves it: no audit.
  private func run(
    devicePages: Int = 128, _ body: @escaping (TestMachine) async throws -> Void
  ) throws {
    let machine = try TestMachine(devicePages: devicePages)
    var failure: (any Error)?
    try machine.kernel.run {
      await machine.space.mmapLock.lockShared()
      do { try await body(machine) } catch { failure = error }
      machine.space.mmapLock.unlockShared()
    }
    if let failure { throw failure }
  }

  /// Maps and fills while the test's lock is put aside.
  private func map(
    _ machine: TestMachine, pages: Int, filled: Range<Int>, _ protection: Protection = .readWrite
  ) async throws -> VirtualRange {
    machine.space.mmapLock.unlockShared()
    let range = try await machine.map(pages: pages, filled: false)
    for page in filled { try await machine.fill(range, page) }
    if protection != .readWrite { try await machine.space.protect(range, protection) }
    await machine.space.mmapLock.lockShared()
    return range
  }

  private func request(
    _ machine: TestMachine, _ range: VirtualRange, _ select: MigrateSelect = .system
  ) -> MigrationRequest {
    MigrationRequest(range, owner: machine.device.owner, select: select)
  }

  private func arguments(
    _ machine: TestMachine, _ range: VirtualRange, _ select: MigrateSelect = .system
  ) -> PostedWalk.Arguments {
    PostedWalk.Arguments(select, owner: machine.device.owner, room: range.pages)
  }

  /// A walk as a mirror begins it, with the sequence of now.
  private func walk(
    _ machine: TestMachine, _ range: VirtualRange, _ notifier: IntervalNotifier,
    _ requests: UInt64 = 0, with arguments: PostedWalk.Arguments?
  ) async -> PostedWalk {
    let walk = PostedWalk(
      machine.space, range, owner: machine.device.owner,
      flags: UnifiedPFN.requestMigrate | requests, arguments)
    walk.notifier = notifier
    walk.sequence = await notifier.readBegin()
    return walk
  }

  @Test func A_backToRAM_takesPagesOfRAMToo() throws {
    try run { machine in
      let range = try await map(machine, pages: 2, filled: 0..<2)
      let walk = PostedWalk.setup(
        machine.space, range, arguments(machine, range, .devicePrivate), faults: false)
      #expect(await walk.rangeFault() == .done)
      #expect(walk.pfns.map(\.migrates) == [true, true], "nobody selected system pages")
      await walk.putBack()
      let pages = try await machine.space.migrateSetup(
        request(machine, range, .devicePrivate), MigrationBuffers(pages: 2), faults: [])
      #expect(pages.collected == 0)
      pages.abandon()
    }
  }

  @Test func B_withoutAnOwner_theEventStartsAgainAndAgain_andNeverEnds() throws {
    try run { machine in
      let range = try await map(machine, pages: 4, filled: 0..<1)
      let mine = PostedWalk.Arguments(.system, owner: nil, room: 4)
      let walk = PostedWalk.setup(machine.space, range, mine, faults: true)
      #expect(await walk.rangeFault() == .done)
      #expect(walk.starts == 4, "one for each restart of the walk")
      #expect(machine.space.notifiers.running == 4, "none has ended: mirrors wait for ever")
      await walk.putBack()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: nil, select: .system), MigrationBuffers(pages: 4),
        faults: .missing)
      #expect(machine.space.notifiers.running == 4, "no more than before")
      pages.abandon()
    }
  }

  @Test func C_anErrorHalfWay_leavesPagesLocked() throws {
    try run { machine in
      let range = try await map(machine, pages: 4, filled: 0..<2)
      machine.kernel.failures.arm(.pageAlloc, .nth(1))
      let walk = PostedWalk(
        machine.space, range, owner: machine.device.owner,
        flags: UnifiedPFN.requestMigrate | UnifiedPFN.requestFault | UnifiedPFN.requestWrite,
        arguments(machine, range))
      #expect(await walk.rangeFault() == .error(.EFAULT))
      #expect(machine.location(range, 0).isMigration && machine.location(range, 1).isMigration)
      let areLocked = walk.taken.allSatisfy { machine.mm.isLocked(PFN(UInt64($0))) }
      #expect(areLocked)
      machine.kernel.failures.disarm()
      await walk.putBack()
      machine.kernel.failures.arm(.pageAlloc, .nth(1))
      await expectThrows(KernelError.EFAULT) {
        try await machine.space.migrateSetup(
          request(machine, range), MigrationBuffers(pages: 4), faults: .write
        ).abandon()
      }
      #expect(machine.location(range, 0).isRAM && machine.location(range, 1).isRAM)
    }
  }

  @Test func D_beginningAgain_waitsForItself() throws {
    try run { machine in
      let range = try await map(machine, pages: 3, filled: 0..<1)
      let mirror = OwnersMirror(nil)
      let notifier = try machine.space.insertNotifier(range, mirror)
      let walk = await self.walk(
        machine, range, notifier, UnifiedPFN.requestFault, with: arguments(machine, range))
      #expect(await walk.rangeFault() == .error(.EBUSY))
      // "EBUSY means: begin again": the page that the first try took is in the way.
      walk.sequence = notifier.sequence
      #expect(await walk.rangeFault() == .waitsForItself)
      await walk.putBack()
      await notifier.remove()
    }
  }

  /// "pages mapped with incorrect permissions, eg. COW", which the unified walk is for: replacing
  /// one tells the mirrors, and that fails the walk's own check with pages in its hands.
  @Test func N_aSharedPageMadeWritable_failsTheWalksOwnCheck() throws {
    try run { machine in
      let range = try await map(machine, pages: 2, filled: 0..<2)
      machine.space.mmapLock.unlockShared()
      let child = try await machine.space.fork("child")
      try await machine.write(range.page(0), 1)
      await machine.space.mmapLock.lockShared()
      let notifier = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      let walk = await self.walk(
        machine, range, notifier, UnifiedPFN.requestFault | UnifiedPFN.requestWrite,
        with: arguments(machine, range))
      #expect(await walk.rangeFault() == .error(.EBUSY))
      #expect(machine.location(range, 0).isMigration)
      walk.sequence = notifier.sequence
      #expect(await walk.rangeFault() == .waitsForItself)
      await walk.putBack()
      #expect(try await machine.device.takes2025(machine.space, notifier, range) == 2)
      await notifier.remove()
      await child.exit()
    }
  }

  @Test func E_itsOwnEvent_failsItsOwnCheck() throws {
    try run { machine in
      let range = try await map(machine, pages: 2, filled: 0..<0)
      // As nouveau's: every event is published.
      let mirror = OwnersMirror(nil)
      let notifier = try machine.space.insertNotifier(range, mirror)
      let walk = await self.walk(
        machine, range, notifier, UnifiedPFN.requestFault, with: arguments(machine, range))
      #expect(await walk.rangeFault() == .error(.EBUSY), "though nobody else was there")
      var lookup = UnifiedRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range,
        owner: machine.device.owner, faults: .missing)
      let prepared = try await machine.space.hmmRangeFault(&lookup, MigrationBuffers(pages: 2))
      #expect(lookup.pfns.map { $0.migrates } == [true, true])
      await prepared.cancel()
      await notifier.remove()
    }
  }

  @Test func F_aSecondMapping_isFoundAfterTheFirstWasTaken() throws {
    try run { machine in
      let range = try await map(machine, pages: 4, filled: 0..<4)
      machine.space.mmapLock.unlockShared()
      try await machine.space.protect(range.subrange(2..<4), .read)
      await machine.space.mmapLock.lockShared()
      let notifier = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      let walk = await self.walk(
        machine, range, notifier, with: arguments(machine, range))
      #expect(await walk.rangeFault() == .error(.ERANGE))
      #expect(walk.taken.count == 2 && machine.location(range, 1).isMigration)
      await walk.putBack()
      await notifier.remove()
    }
  }

  @Test func G_destinationsOfAnEarlierBatch_stay() throws {
    try run { machine in
      let range = try await map(machine, pages: 1, filled: 0..<1)
      let mine = arguments(machine, range)
      mine.destinations[0] = MigratePFN(PFN(77))
      let walk = PostedWalk.setup(machine.space, range, mine, faults: false)
      #expect(await walk.rangeFault() == .done)
      walk.rangeSetup()
      #expect(mine.collected == 1 && mine.destinations[0].pfn == PFN(77), "R7")
      await walk.putBack()
      let buffers = MigrationBuffers(pages: 1)
      buffers.arrays[destination: 0] = MigratePFN(PFN(77))
      let pages = try await machine.space.migrateSetup(
        request(machine, range), buffers, faults: .missing)
      #expect(pages[destination: 0] == .empty)
      pages.abandon()
    }
  }

  @Test func H_dirtiness_isForgotten() throws {
    try run { machine in
      let range = try await map(machine, pages: 2, filled: 0..<2)
      let first = try machine.frame(range, 0)
      let walk = PostedWalk.setup(
        machine.space, range.subrange(0..<1), arguments(machine, range), faults: false)
      #expect(machine.space.entry(at: range.page(0)).isDirty)
      #expect(await walk.rangeFault() == .done)
      await walk.putBack()
      #expect(!machine.space.entry(at: range.page(0)).isDirty && !machine.mm.isDirty(first), "R27")
      let pages = try await machine.space.migrateSetup(
        request(machine, range.subrange(1..<2)), MigrationBuffers(pages: 1), faults: .missing)
      pages.abandon()
      #expect(machine.space.entry(at: range.page(1)).isDirty)
      let second = try machine.frame(range, 1)
      #expect(machine.mm.isDirty(second))
    }
  }

  @Test func I_pagesThatMayNotBeRead_noLongerMigrate() throws {
    try run { machine in
      let range = try await map(machine, pages: 2, filled: 0..<2, .none)
      let walk = PostedWalk.setup(
        machine.space, range, arguments(machine, range), faults: false)
      #expect(await walk.rangeFault() == .done)
      #expect(walk.pfns.allSatisfy { $0.isError }, "migrate_vma_setup took them before")
      let pages = try await machine.space.migrateSetup(
        request(machine, range), MigrationBuffers(pages: 2), faults: [])
      #expect(pages.collected == 2)
      pages.abandon()
    }
  }

  @Test func J_withoutArguments_pagesAreTakenForNobody() throws {
    try run { machine in
      let range = try await map(machine, pages: 1, filled: 0..<1)
      let notifier = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      let walk = await self.walk(
        machine, range, notifier, with: nil)
      #expect(await walk.rangeFault() == .done)
      walk.rangeSetup()
      #expect(machine.location(range).isMigration, "and nothing can bring it back")
      #expect(machine.space.notifiers.running == 1, "the event doesn't end either")
      await walk.putBack()
    }
  }

  @Test func K_requestsAboveAFailure_areReadAsResults() throws {
    try run { machine in
      let range = try await map(machine, pages: 3, filled: 0..<3)
      let notifier = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      let mine = arguments(machine, range)
      mine.start = range.start
      mine.end = range.end
      let walk = PostedWalk(
        machine.space, range, owner: machine.device.owner, flags: UnifiedPFN.requestMigrate, mine)
      walk.notifier = notifier
      walk.sequence = (await notifier.readBegin()) &+ 1
      for place in 0..<3 {
        walk.pfns[place].rawValue = UnifiedPFN.requestFault | UnifiedPFN.requestMigrate
      }
      #expect(await walk.rangeFault() == .error(.EBUSY), "nothing was looked at")
      walk.rangeSetup()
      #expect(mine.collected == 3, "three pages with bytes stand there as empty places")
      #expect(mine.sources.allSatisfy { $0.migrates && !$0.isValid })
      await notifier.remove()
    }
  }

  @Test func L_translations_areFlushedPageByPage() throws {
    try run { machine in
      let range = try await map(machine, pages: 64, filled: 0..<64)
      let before = machine.space.counters.tlbFlushes
      let walk = PostedWalk.setup(
        machine.space, range, arguments(machine, range), faults: false)
      #expect(await walk.rangeFault() == .done)
      #expect(machine.space.counters.tlbFlushes - before == 64)
      await walk.putBack()
      let middle = machine.space.counters.tlbFlushes
      let pages = try await machine.space.migrateSetup(
        request(machine, range), MigrationBuffers(pages: 64), faults: .missing)
      #expect(machine.space.counters.tlbFlushes - middle <= 2, "one a table")
      pages.abandon()
    }
  }

  /// Whoever serves the fault may wait for mirrors that the walk's open event holds up.
  @Test func M_theEventIsOpen_whilePagesAreFaultedIn() throws {
    try run { machine in
      let other = try TestDevice(machine.mm, "other", pages: 4)
      let range = try await map(machine, pages: 1, filled: 0..<1)
      var open: [Int] = []
      other.duringFault = { open.append(machine.space.notifiers.running) }
      let takes = MigrationRequest(range, owner: other.owner, select: .system)
      for isPosted in [true, false] {
        let pages = try await machine.space.migrateSetup(takes, MigrationBuffers(pages: 1))
        other.copyToDevice(pages)
        await pages.commit().finalize()
        #expect(machine.location(range).isDevice)
        if isPosted {
          let walk = PostedWalk.setup(
            machine.space, range, arguments(machine, range), faults: true)
          #expect(await walk.rangeFault() == .done)
          await walk.putBack()
        } else {
          let pages = try await machine.space.migrateSetup(
            request(machine, range), MigrationBuffers(pages: 1), faults: .missing)
          #expect(pages.collected == 1)
          pages.abandon()
        }
      }
      #expect(open == [1, 0])
    }
  }
}

extension TestDevice {
  /// As ``migrate2025(_:_:_:)``, for a caller that holds the mmap lock for reading.
  fileprivate func takes2025(
    _ space: AddressSpace, _ mirror: IntervalNotifier, _ range: VirtualRange
  ) async throws -> Int {
    space.mmapLock.unlockShared()
    let moved = try await migrate2025(space, mirror, range)
    await space.mmapLock.lockShared()
    return moved
  }
}
