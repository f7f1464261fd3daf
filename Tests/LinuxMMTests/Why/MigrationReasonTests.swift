import Base
import KernelRuntime
import LinuxMM
import Testing

/// Why a page did not migrate: each reason from the place that decided it.
@Suite struct MigrationReasonTests {
  /// Migrates a range with reasons; the reason of each place, nil where it moved.
  private func reasons(
    _ machine: TestMachine, _ range: VirtualRange, select: MigrateSelect = .system,
    owner: PagemapOwner? = nil, between: () async throws -> Void = {},
    copy: ((borrowing CollectedPages) -> Void)? = nil
  ) async throws -> [MigrationReason?] {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    let buffers = MigrationBuffers(pages: range.pages, explains: true)
    let request = MigrationRequest(range, owner: owner ?? machine.device.owner, select: select)
    let pages = try await machine.space.migrateSetup(request, buffers)
    if let copy { copy(pages) } else { machine.device.copyToDevice(pages) }
    try await between()
    let committed = await pages.commit()
    for index in 0..<committed.count {
      // A reason and a move exclude each other.
      #expect(committed[source: index].migrates == (committed.reason(index) == nil))
    }
    committed.finalize()
    return (0..<range.pages).map { buffers.reason($0) }
  }

  private func dry(
    _ machine: TestMachine, _ range: VirtualRange, _ page: Int, select: MigrateSelect = .system,
    owner: PagemapOwner? = nil
  ) -> MigrationReason? {
    machine.space.why(
      range.page(page), select: select, owner: owner ?? machine.device.owner)
  }

  @Test func pinned_withCounts() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let pinned = try await machine.space.pin(range.page(1), pages: 1, write: true)
      machine.mm.drainLRU()
      let expected = dry(machine, range, 1)
      let found = try await reasons(machine, range)
      #expect(found.map { $0?.kind } == [nil, .pinned, nil])
      #expect(found[1] == expected)
      #expect(found[1]?.use == PageUse(references: 2, expected: 1, mappings: 1, pins: 1))
      #expect(
        found[1]?.description
          == "the page is pinned (pin_user_pages): 2 references, 1 expected, 1 mapping, 1 pin")
      machine.space.unpin(pinned)
      #expect(dry(machine, range, 1) == nil)
    }
  }

  @Test func aReferenceThatNoMappingAccountsFor() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try machine.frame(range)
      machine.mm.drainLRU()
      machine.mm.get(page)
      let found = try await reasons(machine, range)
      #expect(found[0]?.kind == .referenced)
      #expect(found[0]?.use == PageUse(references: 2, expected: 1, mappings: 1, pins: 0))
      machine.mm.put(page)
    }
  }

  @Test func lockedByATask_namesIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let page = try machine.frame(range, 1)
      await machine.kernel.spawn("writeback") { await machine.mm.lock(page) }.join()
      #expect(machine.mm.lockHolder(page) == "task writeback")
      let found = try await reasons(machine, range)
      #expect(found.map { $0?.kind } == [nil, .locked])
      #expect(found[1]?.description == "locked by task writeback")
      machine.mm.unlock(page)
      #expect(machine.mm.lockHolder(page) == nil)
    }
  }

  @Test func underMigrationByAnotherTask_namesIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let mayEnd = WaitQueue(machine.kernel, "end of the mover")
      var ends = false
      let mover = machine.kernel.spawn("mover") {
        await machine.space.mmapLock.lockShared()
        defer { machine.space.mmapLock.unlockShared() }
        do throws(KernelError) {
          let pages = try await machine.space.migrateSetup(
            MigrationRequest(range.subrange(1..<2), owner: nil, select: .system),
            MigrationBuffers(pages: 1))
          await mayEnd.wait { ends }
          pages.abandon()
        } catch {
          Issue.record("\(error)")
        }
      }
      while !machine.location(range, 1).isMigration { await machine.kernel.yield() }
      let found = try await reasons(machine, range)
      #expect(found.map { $0?.kind } == [nil, .underMigration])
      #expect(found[1]?.description == "taken by the migration of task mover")
      ends = true
      mayEnd.wakeAll()
      await mover.join()
    }
  }

  @Test func selection_andOwner() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range.subrange(0..<1))
      let toDevice = try await reasons(machine, range)
      #expect(toDevice.map { $0?.kind } == [.devicePage, nil])
      #expect(toDevice[0]?.who == "gpu")
      let foreign = try await reasons(
        machine, range, select: .devicePrivate, owner: PagemapOwner("another"), copy: { _ in })
      #expect(foreign[0]?.kind == .foreignOwner && foreign[0]?.who == "gpu")
      let other = try await machine.map(pages: 1)
      let back = try await reasons(machine, other, select: .devicePrivate, copy: { _ in })
      #expect(back[0]?.kind == .systemPage)
    }
  }

  @Test func declinedByTheDriver_andItsOwnReason() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let found = try await reasons(
        machine, range,
        copy: { pages in pages.explain(1, MigrationReason(.noDeviceMemory)) })
      #expect(found.map { $0?.kind } == [.declined, .noDeviceMemory])
      try await machine.expectPattern(range)
    }
  }

  @Test func abandoned_withTheCopysError() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let pinned = try await machine.space.pin(range.page(0), pages: 1, write: false)
      await machine.space.mmapLock.lockShared()
      let buffers = MigrationBuffers(pages: 2, explains: true)
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system), buffers)
      pages.abandon(because: MigrationReason(.copyFailed, error: .EIO))
      machine.space.mmapLock.unlockShared()
      #expect(buffers.reason(0)?.kind == .pinned, "the first reason stays")
      #expect(buffers.reason(1)?.description == "the copy failed: EIO")
      machine.space.unpin(pinned)
    }
  }

  @Test func aReferenceTakenBetweenSetupAndCommit() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try machine.frame(range)
      let found = try await reasons(machine, range, between: { machine.mm.get(page) })
      #expect(found[0]?.kind == .refusedAtCommit)
      #expect(found[0]?.use?.references == 2 && found[0]?.use?.expected == 1)
      machine.mm.put(page)
    }
  }

  @Test func anEmptyPlaceThatAFaultFillsFirst() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let found = try await reasons(machine, range) {
        await machine.kernel.spawn("store") {
          do { try await machine.fill(range, 1) } catch { Issue.record("\(error)") }
        }.join()
      }
      #expect(found.map { $0?.kind } == [nil, .lostRace])
    }
  }

  @Test func anEmptyPlaceThatIsWatched_orReaped() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      try await machine.space.watchMissing(range)
      #expect(dry(machine, range, 0)?.kind == .watched)
      #expect(try await reasons(machine, range)[0]?.kind == .watched)
      let other = try await machine.map(pages: 1, filled: false, name: "other")
      machine.space.markUnstable()
      #expect(dry(machine, other, 0)?.kind == .reaped)
      #expect(try await reasons(machine, other)[0]?.kind == .reaped)
    }
  }

  @Test(arguments: [InjectionPoint.pageLock, .migrateCollect, .migrateCommit])
  func injectedFailures(_ point: InjectionPoint) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      machine.kernel.failures.arm(point, .nth(2))
      let found = try await reasons(machine, range)
      #expect(found.map { $0?.kind } == [nil, .injected])
      #expect(found[1]?.who?.contains(point.name) == true)
    }
  }

  @Test func aPlaceWithoutAMapping_andASpecialOne() throws {
    let machine = try TestMachine()
    try machine.run {
      #expect(machine.space.why(VirtualAddress(0x5000))?.kind == .notMapped)
      let start = try await machine.space.map(bytes: 4096, .readWrite, flags: .special)
      #expect(machine.space.why(start)?.kind == .specialMapping)
    }
  }

  @Test func pagesByFrameNumber_lockedOnesAreNamed() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      let page = try machine.frame(range, 1)
      #expect(machine.mm.tryLock(page))
      let buffers = MigrationBuffers(pages: machine.device.range.count, explains: true)
      let pages = await machine.mm.migrateDeviceSetup(machine.device.range, buffers)
      let place = page.index - machine.device.range.start.index
      #expect(pages.reason(place)?.kind == .locked)
      #expect(pages.collected == 1)
      pages.abandon()
      machine.mm.unlock(page)
    }
  }

  @Test func reasonsOfOneMigration_areGoneInTheNext() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let buffers = MigrationBuffers(pages: 1, explains: true)
      await machine.space.mmapLock.lockShared()
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      try await machine.space.migrateSetup(request, buffers).abandon()
      #expect(buffers.reason(0)?.kind == .declined)
      try await machine.space.migrateSetup(request, buffers).commit().finalize()
      buffers.explains = false
      #expect(buffers.reason(0) == nil)
      machine.space.mmapLock.unlockShared()
    }
  }

  /// The dry answer and the collector's own decision are one, for every kind of place.
  @Test(arguments: 0..<24 as Range<UInt64>) func theDryAnswerIsTheCollectors(_ seed: UInt64) throws
  {
    let machine = try TestMachine()
    var random = SplitMix64(seed: seed)
    try machine.run(isQuiet: false) {
      let range = try await machine.map(pages: 16, filled: false)
      var pins: [PinnedPages] = []
      var held: [PFN] = []
      for page in 0..<16 {
        let draw = random.next() % 6
        if draw == 0 { continue }
        if draw == 1 {
          _ = try await machine.read(range.page(page))
        } else {
          try await machine.fill(range, page)
        }
        if draw == 3 {
          pins.append(try await machine.space.pin(range.page(page), pages: 1, write: true))
        }
        if draw == 4 {
          try await machine.device.take(machine.space, range.subrange(page..<page + 1))
        }
        if draw == 5 {
          let frame = try machine.frame(range, page)
          #expect(machine.mm.tryLock(frame))
          held.append(frame)
        }
      }
      for select in [MigrateSelect.system, .devicePrivate, [.system, .devicePrivate]] {
        let dry = (0..<16).map { self.dry(machine, range, $0, select: select) }
        await machine.space.mmapLock.lockShared()
        let buffers = MigrationBuffers(pages: 16, explains: true)
        let pages = try await machine.space.migrateSetup(
          MigrationRequest(range, owner: machine.device.owner, select: select), buffers)
        for page in 0..<16 {
          #expect(pages.reason(page)?.kind == dry[page]?.kind, "page \(page), seed \(seed)")
          #expect(pages[source: page].migrates == (dry[page] == nil))
        }
        pages.abandon()
        machine.space.mmapLock.unlockShared()
      }
      for pin in pins { machine.space.unpin(pin) }
      for frame in held { machine.mm.unlock(frame) }
    }
  }
}
