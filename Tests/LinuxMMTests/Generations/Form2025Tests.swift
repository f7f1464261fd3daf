import Base
import KernelRuntime
import LinuxMM
import Testing

/// The unified walk of 2025: fault in and collect in one pass.
@Suite struct Form2025Tests {
  /// Runs one unified setup, looks at it, and abandons it.
  private func setup(
    _ machine: TestMachine, _ range: VirtualRange, _ faults: UnifiedFault,
    select: MigrateSelect = .system, _ look: (borrowing CollectedPages) throws -> Void
  ) async throws {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    let request = MigrationRequest(range, owner: machine.device.owner, select: select)
    let pages = try await machine.space.migrateSetup(
      request, MigrationBuffers(pages: range.pages), faults: faults)
    do {
      try look(pages)
    } catch {
      pages.abandon()
      throw error
    }
    pages.abandon()
  }

  private func error(
    _ machine: TestMachine, _ range: VirtualRange, _ faults: UnifiedFault
  ) async -> KernelError? {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    do throws(KernelError) {
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      try await machine.space.migrateSetup(
        request, MigrationBuffers(pages: range.pages), faults: faults
      ).abandon()
      return nil
    } catch {
      return error
    }
  }

  @Test func words_areEncodedAsInTheRFC() {
    #expect(UnifiedPFN.requestMigrate == 1 << 57 && UnifiedPFN.orderShift == 52)
    #expect(UnifiedPFN(rawValue: UnifiedPFN.valid | UnifiedPFN.migrate).isZero)
    #expect(UnifiedPFN(rawValue: UnifiedPFN.valid | 5).pfn == PFN(5))
    #expect(!UnifiedPFN(rawValue: UnifiedPFN.valid | 5).migrates)
    // The bit lies in the field that 6.12 uses for the map order.
    #expect(HMMPFN(rawValue: HMMPFN.valid | UnifiedPFN.migrate).mapOrder == 2)
  }

  @Test(arguments: [UnifiedFault.missing, [.missing, .write]])
  func absentPages_areFaultedInAndTaken_inOneWalk(_ faults: UnifiedFault) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 8, filled: false)
      for page in [1, 4] { try await machine.fill(range, page) }
      let before = machine.space.walks
      let faultsBefore = machine.space.counters.minorFaults
      try await setup(machine, range, faults) { pages in
        #expect(pages.collected == 8)
        // A read fault maps the zero page, which migrates as a place to clear.
        #expect((0..<8).count { pages[source: $0].isValid } == (faults == .missing ? 2 : 8))
      }
      let after = machine.space.walks
      #expect(after.passes - before.passes == 1)
      #expect(after.restarts - before.restarts == 1, "what one table lacks is had at once")
      #expect(machine.space.counters.minorFaults - faultsBefore == 6)
      for page in [1, 4] {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
    }
  }

  @Test func withoutFaults_itIsTheWalkOf2020() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6, filled: false)
      _ = try await machine.read(range.page(1))
      try await machine.fill(range, 2)
      try await machine.fill(range, 3)
      let pinned = try await machine.space.pin(range.page(3), pages: 1, write: true)
      var plain: [UInt64] = []
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: nil, select: .system), MigrationBuffers(pages: 6))
      for page in 0..<6 { plain.append(pages[source: page].rawValue) }
      pages.abandon()
      machine.space.mmapLock.unlockShared()
      try await setup(machine, range, []) { pages in
        #expect((0..<6).map { pages[source: $0].rawValue } == plain)
      }
      machine.space.unpin(pinned)
    }
  }

  @Test func zeroPages_becomePagesOfTheirOwn_forWriting() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      _ = try await machine.read(range.page(0))
      _ = try await machine.read(range.page(1))
      try await setup(machine, range, .missing) { #expect(!$0[source: 0].isValid) }
      try await setup(machine, range, .write) { pages in
        #expect(pages[source: 0].isValid && pages[source: 0].isWritable)
      }
      #expect(try await machine.read(range.page(1)) == 0)
    }
  }

  /// "pages mapped with incorrect permissions, eg. COW".
  @Test func sharedPages_areCopiedForWriting_andMigrateAlone() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      let child = try await machine.space.fork("child")
      let mirror = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      #expect(try await machine.device.migrate2025(machine.space, mirror, range) == 4)
      await mirror.remove()
      #expect(machine.space.counters.copiesOnWrite == 4)
      for page in 0..<4 {
        #expect(child.entry(at: range.page(page)).location.isRAM, "the child keeps its own")
        #expect(try await child.read(range.page(page)) == TestMachine.word(page))
      }
      try await machine.expectPattern(range)
      await child.exit()
    }
  }

  @Test func ownDevicePages_stayUnlessSelected_andForeignOnesComeBack() throws {
    let machine = try TestMachine()
    let other = try TestDevice(machine.mm, "other", pages: 4)
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.device.take(machine.space, range.subrange(0..<1))
      try await other.take(machine.space, range.subrange(1..<2))
      try await setup(machine, range, .missing) { pages in
        #expect((0..<3).map { pages[source: $0].migrates } == [false, true, true])
      }
      #expect(other.faults == 1)
      try await setup(machine, range, [], select: .devicePrivate) { pages in
        #expect((0..<3).map { pages[source: $0].isValid } == [true, false, false])
      }
      try await machine.expectPattern(range)
    }
  }

  @Test func aFaultThatFails_leavesNothingTaken() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      for page in 0..<2 { try await machine.fill(range, page) }
      machine.kernel.failures.arm(.pageAlloc, .nth(1))
      #expect(await error(machine, range, .write) == .EFAULT)
      machine.kernel.failures.disarm()
      try machine.check()
      for page in 0..<2 {
        #expect(machine.location(range, page).isRAM)
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
    }
  }

  @Test func rightsThatTheMappingLacks_areErrors() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.protect(range, .read)
      #expect(await error(machine, range, .write) == .EPERM)
      #expect(await error(machine, range, .missing) == nil)
      try await machine.space.protect(range, .none)
      #expect(await error(machine, range, .missing) == .EFAULT)
      #expect(await error(machine, range, []) == nil, "what isn't faulted in needs no right")
    }
  }

  @Test func aWatchedPlace_isAnErrorWithFaults_andAPlaceWithout() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.watchMissing(range)
      #expect(await error(machine, range, .missing) == .EFAULT)
      #expect(await error(machine, range, []) == nil)
    }
  }

  @Test func theLookup_ofARangeInTwoMappings_isERANGE_andTakesNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.protect(range.subrange(2..<4), .read)
      let notifier = try machine.space.insertNotifier(range, OwnersMirror(nil))
      await expectThrows(KernelError.ERANGE) {
        try await machine.device.migrate2025(machine.space, notifier, range)
      }
      try machine.check()
      #expect((0..<4).allSatisfy { machine.location(range, $0).isRAM })
      await notifier.remove()
    }
  }

  @Test func aChangeSinceTheSequence_isEBUSY_andTakesNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let mirror = try machine.space.insertNotifier(range, OwnersMirror(machine.device.owner))
      var lookup = UnifiedRange(
        notifier: mirror, sequence: await mirror.readBegin(), range: range,
        owner: machine.device.owner, faults: .missing)
      try await machine.space.discard(range.subrange(0..<1))
      await machine.space.mmapLock.lockShared()
      let buffers = MigrationBuffers(pages: 2)
      do throws(KernelError) {
        await (try await machine.space.hmmRangeFault(&lookup, buffers)).cancel()
        Issue.record("no EBUSY")
      } catch {
        #expect(error == .EBUSY)
      }
      lookup.sequence = await mirror.readBegin()
      let prepared = try await machine.space.hmmRangeFault(&lookup, buffers)
      #expect(lookup.pfns.map(\.migrates) == [true, true])
      #expect(lookup.pfns[0].isZero && lookup.pfns[1].pfn != nil)
      await prepared.cancel()
      machine.space.mmapLock.unlockShared()
      await mirror.remove()
    }
  }

  /// A mirror that publishes every event, as nouveau's does, is served as well.
  @Test func aMirrorThatFiltersNothing_isServed() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      let mirror = try machine.space.insertNotifier(range, OwnersMirror(nil))
      #expect(try await machine.device.migrate2025(machine.space, mirror, range) == 4)
      await mirror.remove()
    }
  }

  @Test func reasons_areThoseOfTheWalk() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      try await machine.fill(range, 0)
      let pinned = try await machine.space.pin(range.page(0), pages: 1, write: true)
      await machine.space.mmapLock.lockShared()
      let buffers = MigrationBuffers(pages: 3, explains: true)
      let request = MigrationRequest(range, owner: machine.device.owner, select: .system)
      let pages = try await machine.space.migrateSetup(request, buffers, faults: .write)
      #expect((0..<3).map { pages.reason($0)?.kind } == [.pinned, nil, nil])
      pages.abandon()
      machine.kernel.failures.arm(.pageAlloc, .nth(1))
      try await machine.space.mmapLockRelease { try await machine.space.discard(range) }
      await expectThrows(KernelError.EFAULT) {
        try await machine.space.migrateSetup(request, buffers, faults: .write).abandon()
      }
      #expect(buffers.reason(1)?.description == "the page could not be faulted in: EFAULT")
      machine.kernel.failures.disarm()
      machine.space.mmapLock.unlockShared()
      machine.space.unpin(pinned)
    }
  }

  /// Two walks over one range from both devices' tasks never wait for each other, in any order.
  @Test(arguments: 0..<40 as Range<UInt64>) func walksThatCross_end(_ seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 8, filled: false)
      for page in [0, 3, 6] { try await machine.fill(range, page) }
      try await machine.device.take(machine.space, range.subrange(3..<4))
      let tasks = (0..<3).map { index in
        machine.kernel.spawn("walk \(index)") {
          do {
            let part = range.subrange(index..<8 - index)
            let mirror = try machine.space.insertNotifier(
              part, OwnersMirror(machine.device.owner))
            _ = try await machine.device.migrate2025(machine.space, mirror, part)
            await mirror.remove()
          } catch {
            Issue.record("\(error), seed \(seed)")
          }
        }
      }
      let store = machine.kernel.spawn("store") {
        do { try await machine.write(range.page(5), 5) } catch { Issue.record("\(error)") }
      }
      for task in tasks { await task.join() }
      await store.join()
      for page in [0, 3, 6] {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      #expect(try await machine.read(range.page(5)) == 5)
    }
  }

  @Test func aPreparedRangeThatIsDropped_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        let mirror = try machine.space.insertNotifier(range, OwnersMirror(nil))
        var lookup = UnifiedRange(
          notifier: mirror, sequence: await mirror.readBegin(), range: range, owner: nil,
          faults: [])
        await machine.space.mmapLock.lockShared()
        _ = try await machine.space.hmmRangeFault(&lookup, MigrationBuffers(pages: 1))
      }
    }
  }
}

extension AddressSpace {
  /// Runs `body` without the lock that the caller holds for reading.
  fileprivate func mmapLockRelease(_ body: () async throws -> Void) async throws {
    mmapLock.unlockShared()
    try await body()
    await mmapLock.lockShared()
  }
}
