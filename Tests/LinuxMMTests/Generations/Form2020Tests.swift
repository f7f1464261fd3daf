import Base
import KernelRuntime
import LinuxMM
import Testing

/// The usage description of 2020: seven steps, selection and owner, zero pages without a page.
@Suite struct Form2020Tests {
  @Test func theSevenSteps_standInTheTraceInOrder() throws {
    let machine = try TestMachine(traced: true)
    try machine.run {
      let range = try await machine.map(pages: 3)
      #expect(try await machine.device.migrate2020(machine.space, range) == 3)
    }
    let events = MigrationStep.allCases.map(\.event)
    #expect(MigrationStep.allCases.map(\.rawValue) == Array(1...7))
    let seen = machine.kernel.trace.events.map(\.kind).filter { events.contains($0) }
    #expect(seen == events, "each step once, in the document's order")
    let names = machine.kernel.trace.events.map(\.kind.name)
    // "One of the first steps migrate_vma_setup() does is to invalidate other device's MMUs".
    let setup = try #require(names.firstIndex(of: TraceKind.migrateSetup.name))
    let start = try #require(names.firstIndex(of: TraceKind.invalidateStart.name))
    let end = try #require(names.firstIndex(of: TraceKind.invalidateEnd.name))
    let collected = try #require(names.firstIndex(of: TraceKind.migrateCollect.name))
    #expect(setup < start && start < end && end < collected)
  }

  @Test func aDriverWhoseCopyFails_givesTheLockBack_andLeavesOutTheLaterSteps() throws {
    let machine = try TestMachine(traced: true)
    try machine.run {
      let range = try await machine.map(pages: 2)
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      await expectThrows(KernelError.EIO) {
        try await machine.space.migrateInSevenSteps(request, MigrationBuffers(pages: 2)) {
          _ throws(KernelError) in
          throw .EIO
        } map: { _, _ in
        }
      }
      try await machine.expectPattern(range)
    }
    let events = MigrationStep.allCases.map(\.event)
    let seen = machine.kernel.trace.events.map(\.kind).filter { events.contains($0) }
    #expect(seen == [.mmapReadLock, .migrateCollect, .migrateFinalize, .mmapReadUnlock])
  }

  /// "the migrate_pgmap_owner field set to the args->pgmap_owner": the owner's mirror lets the
  /// event pass, and its sequence still holds; another's doesn't.
  @Test func theEventCarriesTheOwner() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mine = OwnersMirror(machine.device.owner)
      let others = OwnersMirror(PagemapOwner("another"))
      let first = try machine.space.insertNotifier(range, mine)
      let second = try machine.space.insertNotifier(range, others)
      let sequences = (await first.readBegin(), await second.readBegin())
      _ = try await machine.device.migrate2020(machine.space, range)
      #expect(mine.events.map(\.kind) == [.migrate])
      #expect(mine.events.first?.owner === machine.device.owner)
      #expect(!first.readRetry(sequences.0) && second.readRetry(sequences.1))
      await first.remove()
      await second.remove()
    }
  }

  /// "a pte_none() or is_zero_pfn() entry results in a valid 'zero' PFN": MIGRATE without VALID in
  /// the code, so that the page lookup gives none.
  @Test func emptyAndZeroPlaces_haveTheWordMIGRATEAlone() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      _ = try await machine.read(range.page(1))
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      try await machine.space.migrateInSevenSteps(request, MigrationBuffers(pages: 2)) { pages in
        for place in 0..<2 {
          #expect(pages[source: place].rawValue == MigratePFN.migrate)
          #expect(pages[source: place].pfn == nil)
          #expect(pages[destination: place] == .empty, "setup also clears the dst array")
        }
      } map: { _, _ in
      }
    }
  }
}
