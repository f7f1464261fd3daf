import Base
import KernelRuntime
import LinuxMM
import Testing

/// `migrate_vma_pages` and `migrate_vma_finalize`: checks.md Appendix B, 9 and 10.
@Suite struct MigrateCommitTests {
  @Test func roundTrip_keepsBytes_andReturnsEveryPage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 70)
      let free = machine.mm.freeSystemPages
      #expect(try await machine.device.take(machine.space, range) == 70)
      #expect(machine.mm.freeSystemPages == free + 70)
      #expect(machine.space.counters.residentPages == 70, "R43: device pages count as resident")
      #expect(machine.space.counters.devicePages == 70)
      for page in 0..<70 {
        let pfn = try machine.frame(range, page)
        #expect(machine.device.word(pfn) == TestMachine.word(page))
        #expect(machine.mm.referenceCount(pfn) == 1 && machine.mm.mapCount(pfn) == 1)
      }
      try machine.check()
      try await machine.expectPattern(range)
      #expect(machine.device.faults == 70)
      #expect(machine.space.counters.devicePages == 0)
      #expect(machine.device.pagemap.references == 0)
    }
  }

  @Test func R15_pageWithoutDestination_staysWhereItIs() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      machine.device.free = Array(machine.device.free.suffix(2))
      #expect(try await machine.device.take(machine.space, range) == 2)
      #expect((0..<4).map { machine.location(range, $0).isDevice } == [true, true, false, false])
      try await machine.expectPattern(range)
    }
  }

  @Test func V08_nothingIsCopiedByTheCore() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 1))
      let page = try machine.mm.allocatePage()
      #expect(machine.mm.tryLock(page))
      machine.mm.ram.fill(0x5a, at: page.index << 12, length: 4096)
      pages[destination: 0] = MigratePFN(page)
      await pages.commit().finalize()
      machine.space.mmapLock.unlockShared()
      #expect(machine.location(range) == .ram(page), "RAM to RAM is a migration too")
      #expect(try await machine.read(range.start) == 0x5a5a_5a5a_5a5a_5a5a)
    }
  }

  @Test func R11_holes_becomeDevicePages_writableOnlyIfTheMappingIs() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let readOnly = try await machine.map(pages: 1, .read, filled: false)
      #expect(try await machine.device.take(machine.space, range) == 2)
      #expect(try await machine.device.take(machine.space, readOnly) == 1)
      #expect(machine.space.entry(at: range.start).kind == .deviceWrite)
      #expect(machine.space.entry(at: readOnly.start).kind == .deviceRead)
      #expect(machine.space.counters.residentPages == 3)
      #expect(try await machine.read(range.start) == 0)
      #expect(try await machine.read(readOnly.start) == 0)
    }
  }

  @Test func holes_canBeFilledWithRAM() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 1))
      let page = try machine.mm.allocatePage()
      #expect(machine.mm.tryLock(page))
      machine.mm.ram.store(UInt64(99), at: page.index << 12)
      pages[destination: 0] = MigratePFN(page)
      await pages.commit().finalize()
      machine.space.mmapLock.unlockShared()
      #expect(try await machine.read(range.start) == 99)
      try await machine.write(range.start, 3)
    }
  }

  @Test func B9_R29_holeThatAFaultFilled_isRefused_andTheDriverIsTold() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 2))
      machine.device.copyToDevice(pages)
      await machine.kernel.spawn("other") {
        do { try await machine.write(range.start, 7) } catch { Issue.record("\(error)") }
      }.join()
      let moved = await pages.commit()
      #expect(!moved[source: 0].migrates && moved[source: 1].migrates, "R14, V09")
      moved.finalize()
      machine.space.mmapLock.unlockShared()
      #expect(try await machine.read(range.start) == 7)
      #expect(machine.device.pagemap.references == 1, "the refused destination was freed")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func B9_watchedOrUnstableRanges_areNotFilled() throws {
    for unstable in [false, true] {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1, filled: false)
        if unstable {
          machine.space.markUnstable()
        } else {
          try await machine.space.watchMissing(range)
        }
        #expect(try await machine.device.take(machine.space, range) == 0)
        #expect(machine.location(range) == .none)
        #expect(machine.device.pagemap.references == 0)
      }
    }
  }

  @Test func holeWithoutAPageTable_isRefused_whenTheTableCanNotBeHad() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      machine.kernel.failures.arm(.pageTableAlloc, .always)
      #expect(try await machine.device.take(machine.space, range) == 0)
    }
  }

  @Test func pageThatGainsAReference_isRefusedAtCommit() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 2))
      machine.device.copyToDevice(pages)
      let page = try #require(pages[source: 0].pfn)
      machine.mm.get(page)
      let moved = await pages.commit()
      #expect(!moved[source: 0].migrates && moved[source: 1].migrates)
      moved.finalize()
      machine.mm.put(page)
      machine.space.mmapLock.unlockShared()
      #expect(machine.location(range, 0) == .ram(page))
      try await machine.expectPattern(range)
    }
  }

  @Test func B10_abandon_restoresEverySource_andFreesDestinations() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 5)
      let before = (0..<5).map { machine.space.entry(at: range.page($0)) }
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 5))
      machine.device.copyToDevice(pages)
      pages.abandon()
      machine.space.mmapLock.unlockShared()
      #expect((0..<5).map { machine.space.entry(at: range.page($0)) } == before)
      #expect(machine.device.pagemap.references == 0)
    }
  }

  @Test func scopedForm_finalizesOnEveryPath() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      let buffers = MigrationBuffers(pages: 3)
      await machine.space.mmapLock.lockShared()
      await expectThrows(KernelError.EIO) {
        try await machine.space.withMigration(
          request, buffers,
          copy: { (pages: borrowing CollectedPages) async throws(KernelError) -> Int in
            machine.device.copyToDevice(pages)
            throw .EIO
          }, committed: { (_: borrowing CommittedPages, _: Int) in Issue.record("committed") })
      }
      try machine.check()
      var moved = 0
      let copied = try await machine.space.withMigration(
        request, buffers,
        copy: { (pages: borrowing CollectedPages) async throws(KernelError) -> Int in
          machine.device.copyToDevice(pages)
        },
        committed: { (pages: borrowing CommittedPages, _: Int) in
          for index in 0..<pages.count where pages[source: index].migrates { moved += 1 }
        })
      #expect(copied == 3 && moved == 3)
      machine.space.mmapLock.unlockShared()
      try await machine.expectPattern(range)
    }
  }

  @Test func M06_onlyTheSurvivorJoinsTheLRU() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let old = try machine.frame(range, 0)
      machine.device.free = Array(machine.device.free.suffix(1))
      try await machine.device.take(machine.space, range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.referenceCount(old) == 0 && !machine.mm.isOnLRU(old))
      #expect(try machine.mm.isOnLRU(machine.frame(range, 1)))
      #expect(try !machine.mm.isOnLRU(machine.frame(range, 0)), "V02")
    }
  }

  @Test func R27_M14_dirtySurvives_andSoftDirtyGoesBothWays() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      let entry = machine.space.entry(at: range.start)
      #expect(entry.isSoftDirty && entry.kind == .deviceWrite)
      #expect(try machine.mm.isDirty(machine.frame(range)), "the page carries what the entry had")
      try await machine.device.evict()
      let back = machine.space.entry(at: range.start)
      #expect(back.isSoftDirty && back.isWritable)
      #expect(try machine.mm.isDirty(machine.frame(range)))
    }
  }

  @Test func M12_writablePage_needsNoSecondFaultAfterComingBack() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      try await machine.device.evict()
      let before = machine.space.counters
      try await machine.write(range.start, 5)
      #expect(machine.space.counters.minorFaults == before.minorFaults)
      #expect(machine.space.counters.deviceFaults == before.deviceFaults)
    }
  }

  @Test func R45_protect_downgradesDeviceEntries() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      try await machine.space.protect(range, .read)
      #expect(machine.space.entry(at: range.start).kind == .deviceRead)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.write(range.start, 1)
      }
      try await machine.space.protect(range, .readWrite)
      try await machine.write(range.start, 1)
      #expect(machine.space.counters.copiesOnWrite == 0, "the page is exclusive: no copy")
    }
  }

  @Test func R46_unmappingADevicePage_returnsItToTheDriver() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.device.take(machine.space, range)
      try await machine.space.unmap(range.subrange(1..<2))
      #expect(machine.space.counters.residentPages == 2 && machine.space.counters.devicePages == 2)
      #expect(machine.device.freed.count == 1)
    }
  }

  @Test func discardDuringMigration_isNotUndone() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 2))
      machine.device.copyToDevice(pages)
      await machine.kernel.spawn("other") {
        do { try await machine.space.discard(range.subrange(0..<1)) } catch {
          Issue.record("\(error)")
        }
      }.join()
      await pages.commit().finalize()
      machine.space.mmapLock.unlockShared()
      #expect(machine.location(range, 0) == .none)
      #expect(try await machine.read(range.page(0)) == 0)
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      #expect(machine.device.pagemap.references == 0)
    }
  }

  @Test func R13_unlockedDestination_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        await machine.space.mmapLock.lockShared()
        let pages = try await machine.space.migrateSetup(
          MigrationRequest(range, owner: machine.device.owner, select: .system),
          MigrationBuffers(pages: 1))
        pages[destination: 0] = MigratePFN(try machine.mm.allocatePage())
        await pages.commit().finalize()
      }
    }
  }
}
