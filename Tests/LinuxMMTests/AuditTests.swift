import Base
import KernelRuntime
import Testing

@testable import LinuxMM

/// The audit is itself tested: each kind of damage must be found.
@Suite struct AuditTests {
  /// A machine with pages in RAM, on the device, in a batch, and free; nothing is wrong with it.
  private func machine() throws -> (TestMachine, VirtualRange) {
    let machine = try TestMachine()
    var mapped: VirtualRange?
    try machine.run {
      let range = try await machine.map(pages: 40)
      try await machine.device.take(machine.space, range.subrange(0..<4))
      try await machine.space.discard(range.subrange(30..<32))
      mapped = range
    }
    return (machine, try #require(mapped))
  }

  private func problems(
    _ damage: (TestMachine, VirtualRange) throws -> Void
  ) throws -> [String] {
    let (machine, range) = try machine()
    try damage(machine, range)
    return try machine.mm.audit().problems
  }

  @Test func soundMachine_hasNoProblems_andCountsItsEntries() throws {
    let (machine, _) = try machine()
    let audit = try machine.mm.audit()
    #expect(audit.problems == [] && audit.unmapped == [])
    #expect(audit.systemEntries == 34 && audit.deviceEntries == 4)
  }

  @Test func lostReference_isFound() throws {
    let found = try problems { machine, range in
      machine.mm.pages[try machine.frame(range, 9).index].references += 1
    }
    #expect(found.contains { $0.contains("one is lost") })
  }

  @Test func wrongMapCount_isFound() throws {
    let found = try problems { machine, range in
      machine.mm.pages[try machine.frame(range, 9).index].mappings = 2
    }
    #expect(found.contains { $0.contains("map count 2, entries 1") })
  }

  @Test func forgottenLock_isFound() throws {
    let found = try problems { machine, range in
      machine.mm.pages[try machine.frame(range, 1).index].flags.insert(.locked)
    }
    #expect(found.contains { $0.contains("stays locked") })
  }

  @Test func leakedPage_isListed() throws {
    let (machine, _) = try machine()
    let page = try machine.mm.allocatePage()
    #expect(try machine.mm.audit().unmapped == [page])
  }

  @Test func migrationEntryLeftBehind_isFound() throws {
    let found = try problems { machine, range in
      let slot = try #require(machine.space.leafSlot(range.page(9)))
      let page = try machine.frame(range, 9)
      machine.mm.tables.entries[slot] = .absent(.migrationWrite, page)
    }
    #expect(found.contains { $0.contains("left at") })
    #expect(found.contains { $0.contains("of an unlocked page") })
  }

  @Test func entryThatVanished_isFound() throws {
    let found = try problems { machine, range in
      let slot = try #require(machine.space.leafSlot(range.page(9)))
      machine.mm.tables.entries[slot] = .none
    }
    #expect(found.contains { $0.contains("rss") })
    #expect(found.contains { $0.contains("map count 1, entries 0") })
  }

  @Test func devicePageMappedForTheCPU_isFound() throws {
    let found = try problems { machine, range in
      let slot = try #require(machine.space.leafSlot(range.page(0)))
      machine.mm.tables.entries[slot] = .present(try machine.frame(range, 0), 0)
    }
    #expect(found.contains { $0.contains("R41") })
  }

  @Test func writableEntryInAReadOnlyMapping_isFound() throws {
    let found = try problems { machine, range in
      machine.space.find(range.start)?.protection = .read
    }
    #expect(found.contains { $0.contains("of a mapping r--") })
  }

  @Test func pageInTheWrongPlace_isFound() throws {
    let found = try problems { machine, range in
      let page = try machine.frame(range, 9).index
      let place = machine.mm.pages[page].anonymous
      machine.mm.pages[page].anonymous = AnonymousPlace(
        region: place.region, index: place.index + 1)
    }
    #expect(found.contains { $0.contains("but the page says") })
  }

  @Test func lruDamage_isFound() throws {
    let found = try problems { machine, range in
      machine.mm.pages[try machine.frame(range, 9).index].flags.remove(.lru)
    }
    #expect(found.contains { $0.contains("without its flag") })
  }

  @Test func pageOnTheFreeListInUse_isFound() throws {
    let found = try problems { machine, range in
      let page = try machine.frame(range, 9)
      machine.mm.frames.give(page.index)
    }
    #expect(!found.isEmpty)
  }

  @Test func invalidationThatNeverEnds_isFound() throws {
    let (machine, range) = try machine()
    try machine.kernel.run {
      await machine.space.invalidateStart(NotifierEvent(.clear, range))
    }
    #expect(try machine.mm.audit().problems.contains { $0.contains("never ended") })
  }

  @Test func dirtiedZeroPage_isFound() throws {
    let found = try problems { machine, _ in machine.mm.ram.store(UInt8(1), at: 77) }
    #expect(found == ["the zero page holds other bytes than zero"])
  }

  @Test func lostTable_isFound() throws {
    let found = try problems { machine, _ in machine.space.tally.pageTables += 1 }
    #expect(found.contains { $0.contains("page tables") })
  }

  @Test func pagemapCount_isChecked() throws {
    let found = try problems { machine, _ in machine.device.pagemap.uses += 1 }
    #expect(found.contains { $0.contains("5 references, 4 pages in use") })
  }
}
