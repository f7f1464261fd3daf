import Base
import KernelRuntime
import Testing

@testable import LinuxMM

@Suite struct CoherentMemoryTests {
  /// Runs a test's body on a process with a coherent device of eight pages.
  private func run(_ body: @escaping (HMMFixture) async throws -> Void) throws {
    try HMMFixture.run(.deviceCoherent, devicePages: 8, body)
  }

  @Test func cpuAndDevice_shareTheBytes_andATouchBringsNothingBack() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.mapOnDevice(2)
      let page = try machine.frame(range)
      #expect(fixture.device.range.contains(page))
      try await machine.write(range.start, 0x77)
      let (memory, offset) = fixture.device.bytes(page)
      #expect(memory.load(UInt64.self, at: offset) == 0x77)
      memory.store(UInt64(0x88), at: offset)
      #expect(try await machine.read(range.start) == 0x88)
      let old = try await fixture.space.exchange(range.start) { (word: UInt64) in word + 1 }
      #expect(old == 0x88 && memory.load(UInt64.self, at: offset) == 0x89)
      #expect(fixture.device.faults == 0 && fixture.space.counters.deviceFaults == 0)
      #expect(!machine.mm.isOnLRU(page), "device memory is on no LRU list (V02)")
    }
  }

  @Test func R23_onlyTheOwnerTakesAPage_andOnlyWhenAsked() throws {
    try run { fixture in
      let space = fixture.space
      let range = try await fixture.mapOnDevice(1)
      let owner = fixture.device.owner
      let requests: [(PagemapOwner?, MigrateSelect, Int)] = [
        (owner, .system, 0), (owner, .devicePrivate, 0), (nil, .deviceCoherent, 0),
        (PagemapOwner("other"), .deviceCoherent, 0), (owner, .deviceCoherent, 1),
      ]
      for (owner, select, expected) in requests {
        await space.mmapLock.lockShared()
        let pages = try await space.migrateSetup(
          MigrationRequest(range, owner: owner, select: select), MigrationBuffers(pages: 1))
        #expect(pages.collected == expected, "\(select)")
        pages.abandon()
        space.mmapLock.unlockShared()
      }
      #expect(fixture.machine.location(range).isRAM, "an abandoned page is mapped again")
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test func fork_sharesThePage_andTheWriterGetsRAM() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.mapOnDevice(1)
      let page = try machine.frame(range)
      let child = try await fixture.space.fork("child")
      #expect(machine.mm.mapCount(page) == 2 && !machine.mm.isExclusive(page))
      try await child.store(range.start, UInt64(5).bytes)
      guard case .ram(let copy) = child.entry(at: range.start).location else {
        Issue.record("the child's page is \(child.entry(at: range.start))")
        return
      }
      #expect(machine.mm.isSystemPage(copy))
      try await machine.expectPattern(range)
      #expect(try machine.frame(range) == page)
      await child.exit()
      // Alone again, the parent writes in place.
      try await machine.write(range.start, 6)
      #expect(try machine.frame(range) == page)
    }
  }

  @Test func pinnedPage_staysOnTheDevice_andIsCopiedByFork() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.mapOnDevice(2)
      let pinned = try await fixture.space.pinUserPages(range.start, pages: 1, .write)
      #expect(fixture.device.range.contains(pinned.pfns[0]))
      #expect(machine.mm.pinCount(pinned.pfns[0]) == 1)
      #expect(try await fixture.mirror.migrateToSystem(range) == 1, "the other page only")
      #expect(try machine.frame(range) == pinned.pfns[0])
      let child = try await fixture.space.fork("child")
      #expect(child.entry(at: range.start).location != .ram(pinned.pfns[0]))
      #expect(machine.mm.isExclusive(pinned.pfns[0]))
      await child.exit()
      machine.mm.unpin(pinned)
      #expect(try await fixture.mirror.migrateToSystem(range) == 1)
      try await machine.expectPattern(range)
    }
  }

  @Test func longPin_ofAPageThatSomebodyElseHolds_isEBUSY_andPinsNothing() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.map(3)
      try await fixture.mirror.migrateToDevice(range.subrange(1..<2))
      let held = try await fixture.space.getUserPages(range.page(1), pages: 1)
      let pages = try (0..<3).map { try machine.frame(range, $0) }
      await expectThrows(KernelError.EBUSY) {
        try await fixture.space.pinUserPages(range.start, pages: 3, [.write, .longTerm])
      }
      #expect(pages.allSatisfy { machine.mm.pinCount($0) == 0 && !machine.mm.isLocked($0) })
      #expect(try machine.frame(range, 1) == pages[1], "the page stays mapped")
      machine.mm.release(held)
      let pinned = try await fixture.space.pinUserPages(range.start, pages: 3, [.write, .longTerm])
      #expect(pinned.pfns.allSatisfy { machine.mm.isSystemPage($0) })
      machine.mm.unpin(pinned)
      try await machine.expectPattern(range)
    }
  }

  @Test func longPin_tellsItsMigrationsStepsInOrder() throws {
    let fixture = try HMMFixture(.deviceCoherent, devicePages: 8, traced: true)
    var page: PFN?
    try fixture.run {
      let range = try await fixture.mapOnDevice(1)
      page = try fixture.machine.frame(range)
      let pinned = try await fixture.space.pinUserPages(range.start, pages: 1, .longTerm)
      fixture.machine.mm.unpin(pinned)
    }
    let steps: [TraceKind] = [.migrateSetup, .migrateCollect, .migrateCommit, .migrateFinalize]
    let named = fixture.machine.kernel.trace.events.filter { $0.a == page?.rawValue }
    #expect(named.map(\.kind).filter(steps.contains) == steps)
  }

  @Test func longPin_withoutMemory_isEBUSY() throws {
    try run { fixture in
      let range = try await fixture.mapOnDevice(1)
      fixture.machine.kernel.failures.arm(.pageAlloc, .always)
      await expectThrows(KernelError.EBUSY) {
        try await fixture.space.pinUserPages(range.start, pages: 1, .longTerm)
      }
      fixture.machine.kernel.failures.disarm(.pageAlloc)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test func emptyPlaces_areFilledWithDevicePages_mappedForTheCPU() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.map(2, filled: false)
      _ = try await machine.read(range.page(1))
      #expect(try await fixture.mirror.migrateToDevice(range).words == [0, 0])
      for page in 0..<2 {
        #expect(fixture.device.range.contains(try machine.frame(range, page)))
        try await machine.write(range.page(page), 3)
      }
      #expect(try await fixture.mirror.read(range).words == [3, 3])
    }
  }

  @Test func memoryFailure_poisonsEveryEntry() throws {
    try run { fixture in
      let machine = fixture.machine
      let range = try await fixture.mapOnDevice(2)
      let page = try machine.frame(range)
      #expect(await machine.mm.memoryFailure(page))
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await machine.read(range.start)
      }
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      await expectThrows(KernelError.EFAULT) {
        try await fixture.space.getUserPages(range.start, pages: 1)
      }
      await expectThrows(KernelError.EHWPOISON) {
        try await fixture.space.getUserPages(range.start, pages: 1, .reportPoison)
      }
    }
  }

  @Test func unmap_givesThePagesBack() throws {
    try run { fixture in
      let range = try await fixture.mapOnDevice(4)
      try await fixture.space.discard(range.subrange(0..<2))
      #expect(fixture.device.pagemap.references == 2)
      try await fixture.space.unmap(range)
      #expect(fixture.device.pagemap.references == 0 && fixture.device.free.count == 8)
    }
  }

  @Test func why_namesTheOwnerOrThePin() throws {
    try run { fixture in
      let range = try await fixture.mapOnDevice(2)
      let pinned = try await fixture.space.pinUserPages(range.page(1), pages: 1)
      let space = fixture.space
      let owner = fixture.device.owner
      #expect(space.why(range.start)?.kind == .devicePage)
      #expect(space.why(range.start, select: .deviceCoherent)?.kind == .foreignOwner)
      #expect(space.why(range.start, select: .deviceCoherent, owner: owner) == nil)
      let reason = space.why(range.page(1), select: .deviceCoherent, owner: owner)
      #expect(reason?.kind == .pinned && reason?.use?.pins == 1)
      fixture.machine.mm.unpin(pinned)
    }
  }
}
