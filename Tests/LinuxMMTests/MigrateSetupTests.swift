import Base
import KernelRuntime
import LinuxMM
import Testing

/// What `migrate_vma_setup` takes, refuses and leaves alone: checks.md Appendix B, 1 to 8.
@Suite struct MigrateSetupTests {
  /// Collects a range with the mmap lock held, looks, and abandons.
  private func collect(
    _ machine: TestMachine, _ range: VirtualRange, select: MigrateSelect = .system,
    owner: PagemapOwner? = nil, _ look: (borrowing CollectedPages) throws -> Void
  ) async throws {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    let buffers = MigrationBuffers(pages: max(range.pages, 1))
    let pages = try await machine.space.migrateSetup(
      MigrationRequest(range, owner: owner ?? machine.device.owner, select: select), buffers)
    do {
      try look(pages)
    } catch {
      pages.abandon()
      throw error
    }
    pages.abandon()
  }

  private func refused(
    _ machine: TestMachine, _ start: VirtualAddress, _ end: VirtualAddress, room: Int = 64,
    faultPage: PFN? = nil
  ) async throws -> KernelError? {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    let request = MigrationRequest(
      start: start, end: end, owner: machine.device.owner, select: .system, faultPage: faultPage)
    do throws(KernelError) {
      let pages = try await machine.space.migrateSetup(request, MigrationBuffers(pages: room))
      pages.abandon()
      return nil
    } catch {
      return error
    }
  }

  @Test func B1_badRanges_areEINVAL_andChangeNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      let end = range.end
      #expect(try await self.refused(machine, range.start + 1, end) == .EINVAL)
      #expect(try await self.refused(machine, range.start, end - 1) == .EINVAL)
      #expect(try await self.refused(machine, range.start, range.start) == .EINVAL)
      #expect(try await self.refused(machine, end, range.start) == .EINVAL)
      #expect(try await self.refused(machine, range.start, end + 4096) == .EINVAL)
      #expect(try await self.refused(machine, range.start - 4096, end) == .EINVAL)
      #expect(
        try await self.refused(machine, VirtualAddress(0x5000), VirtualAddress(0x6000)) == .EINVAL)
      #expect(try await self.refused(machine, range.start, end, room: 3) == .EINVAL, "R1")
      #expect(
        try await self.refused(machine, range.start, end, faultPage: PFN(3)) == .EINVAL, "R25")
      try machine.check()
      try await machine.space.protect(range.subrange(0..<2), .read)
      #expect(try await self.refused(machine, range.start, end) == .EINVAL, "R5: two mappings")
      try await machine.expectPattern(range)
    }
  }

  @Test func B1_specialMapping_isEINVAL() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(bytes: 4096, .readWrite, flags: .special)
      #expect(try await self.refused(machine, start, start + 4096) == .EINVAL)
    }
  }

  @Test func B2_holesAndZeroPages_migrateWithoutASource() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      _ = try await machine.read(range.page(1))
      try await machine.fill(range, 2)
      try await self.collect(machine, range) { pages in
        #expect(pages.count == 3 && pages.collected == 3)
        for index in 0..<2 {
          #expect(pages[source: index].migrates && !pages[source: index].isValid)
        }
        #expect(pages[source: 2].isValid)
      }
    }
  }

  @Test func B2_zeroPage_isTakenOnlyWithSystemPages() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      _ = try await machine.read(range.page(0))
      try await self.collect(machine, range, select: .devicePrivate) { pages in
        #expect(pages[source: 0] == .empty)
        #expect(pages[source: 1].migrates, "a hole counts whatever is selected")
        #expect(pages.collected == 1)
      }
    }
  }

  @Test func B2_unmappedTables_countAsHoles() throws {
    let machine = try TestMachine(ramPages: 4096)
    try machine.run {
      let start = try await machine.space.map(bytes: 4 << 20, .readWrite)
      let range = VirtualRange(start: start, pages: 1024)
      try await machine.fill(range, 700)
      try await self.collect(machine, range) { pages in
        #expect(pages.collected == 1024)
        #expect((0..<1024).filter { pages[source: $0].isValid } == [700])
      }
    }
  }

  @Test func B3_devicePages_areTakenOnlyIfSelectedAndOwned() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      try await self.collect(machine, range, select: .system) { #expect($0[source: 0] == .empty) }
      try await self.collect(
        machine, range, select: .devicePrivate, owner: PagemapOwner("another")
      ) { #expect($0[source: 0] == .empty, "R23: a foreign page is never taken") }
      try await self.collect(machine, range, select: .devicePrivate) { pages in
        #expect(pages[source: 0].migrates && pages[source: 0].isWritable)
        #expect(pages.collected == 1)
      }
      #expect(machine.location(range).isDevice)
    }
  }

  @Test func B3_systemPages_areTakenOnlyIfSelected() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await self.collect(machine, range, select: .devicePrivate) {
        #expect($0.collected == 0 && $0[source: 0] == .empty)
      }
    }
  }

  @Test func B5_lockedPage_isSkipped_andNothingWaits() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let page = try machine.frame(range, 1)
      #expect(machine.mm.tryLock(page))
      try await self.collect(machine, range) { pages in
        #expect(pages.collected == 2)
        #expect(pages[source: 1] == .empty)
      }
      machine.mm.unlock(page)
    }
  }

  @Test func B6_pinnedPage_isRefused() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let pinned = try await machine.space.pin(range.page(1), pages: 1, write: true)
      try await self.collect(machine, range) { pages in
        #expect(pages.collected == 2 && pages[source: 1] == .empty)
      }
      machine.space.unpin(pinned)
      try await self.collect(machine, range) { #expect($0.collected == 3) }
      try await machine.expectPattern(range)
    }
  }

  @Test func B6_devicePage_isAllowedOneReferenceMore() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      let page = try machine.frame(range)
      machine.mm.get(page)
      try await self.collect(machine, range, select: .devicePrivate) { #expect($0.collected == 1) }
      machine.mm.get(page)
      try await self.collect(machine, range, select: .devicePrivate) { #expect($0.collected == 0) }
      machine.mm.put(page)
      machine.mm.put(page)
    }
  }

  @Test func pagesInAnotherCPUsBatch_areDrainedAndTaken() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      await machine.kernel.spawn("elsewhere") {
        do { try await machine.fill(range, 0) } catch { Issue.record("\(error)") }
      }.join()
      let page = try machine.frame(range)
      #expect(machine.mm.referenceCount(page) == 2)
      try await self.collect(machine, range) { #expect($0.collected == 1) }
      #expect(machine.mm.counters.fullDrains == 1)
      try await machine.expectPattern(range)
    }
  }

  @Test func collectedPages_areLockedUnmappedAndOffTheLRU() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let flushes = machine.space.counters.tlbFlushedPages
      try await self.collect(machine, range) { pages in
        for index in 0..<2 {
          let page = try #require(pages[source: index].pfn)
          #expect(machine.location(range, index) == .migration(page))
          #expect(machine.mm.isLocked(page) && !machine.mm.isOnLRU(page))
          #expect(machine.mm.mapCount(page) == 0 && machine.mm.referenceCount(page) == 1)
          #expect(pages[source: index].isWritable)
        }
        let audit = try machine.mm.audit(isQuiet: false)
        #expect(audit.problems == [] && audit.migrationEntries == 2)
      }
      #expect(machine.space.counters.tlbFlushedPages == flushes + 2, "R26")
      #expect(machine.space.counters.residentPages == 2)
    }
  }

  @Test func R7_setup_resetsCountsAndDestinations_ofReusedArrays() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      let buffers = MigrationBuffers(pages: 4)
      await machine.space.mmapLock.lockShared()
      for part in [range, range.subrange(0..<2), range] {
        let pages = try await machine.space.migrateSetup(
          MigrationRequest(part, owner: machine.device.owner, select: .system), buffers)
        #expect(pages.count == part.pages && pages.collected == part.pages)
        for index in 0..<pages.count { #expect(pages[destination: index] == .empty) }
        let page = try machine.mm.allocatePage()
        #expect(machine.mm.tryLock(page))
        pages[destination: 0] = MigratePFN(page)
        pages.abandon()
      }
      machine.space.mmapLock.unlockShared()
    }
  }

  @Test func R17_writeBit_followsTheEntry() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.protect(range, .read)
      try await self.collect(machine, range) { pages in
        #expect(pages[source: 0].migrates && !pages[source: 0].isWritable)
      }
    }
  }

  @Test func setupWithoutTheMmapLock_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        let pages = try await machine.space.migrateSetup(
          MigrationRequest(range, owner: machine.device.owner, select: .system),
          MigrationBuffers(pages: 1))
        pages.abandon()
      }
    }
  }

  @Test func droppingACollectedRange_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        await machine.space.mmapLock.lockShared()
        let pages = try await machine.space.migrateSetup(
          MigrationRequest(range, owner: machine.device.owner, select: .system),
          MigrationBuffers(pages: 1))
        #expect(pages.count == 1)
      }
    }
  }
}
