import Base
import KernelRuntime
import LinuxMM
import Testing

/// `migrate_vma` with callbacks, as posted in May 2017: what it alone does.
@Suite struct Form2017Tests {
  @Test func words_areEncodedAsIn2017() {
    let word = FirstMigratePFN(PFN(0x1234))
    #expect(word.rawValue == 0x1234 << 5 | 1)
    #expect(FirstMigratePFN.destination(PFN(1)).rawValue == 0b10_0101)
    #expect(FirstMigratePFN.migrate == 2 && FirstMigratePFN.write == 8)
    #expect(FirstMigratePFN.failed.isError && FirstMigratePFN.failed.pfn == nil)
    #expect("\(FirstMigratePFN.destination(PFN(7)))" == "\(PFN(7)) locked")
  }

  /// The order of the text: all sources locked and unmapped, first callback, commit, second
  /// callback with both pages still locked, and only then are the entries restored.
  @Test func callbacks_runInOrder_withBothPagesLocked() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let old = try machine.frame(range)
      var log: [String] = []
      let operations = MigrateVMAOperations<[String]>(
        allocateAndCopy: { vma, sources, destinations, part, log in
          #expect(vma.range == range && part == range && sources.count == 2)
          #expect(sources.allSatisfy { $0.isValid && $0.migrates && $0.isLocked && $0.isWritable })
          #expect(machine.location(range).isMigration)
          guard let new = machine.device.allocate() else { return }
          machine.device.fill(new, from: sources[0].pfn)
          destinations[0] = .destination(new)
          log.append("allocate and copy")
        },
        finalizeAndMap: { _, sources, destinations, _, log in
          #expect(sources.map(\.migrates) == [true, false], "a page without destination stayed")
          #expect(machine.location(range).isMigration, "nothing is mapped yet")
          guard let new = destinations[0].pfn else { return }
          #expect(machine.mm.isLocked(old) && machine.mm.isLocked(new))
          log.append("finalize and map")
        })
      var sources = [FirstMigratePFN](repeating: .failed, count: 2)
      var destinations = sources
      await machine.space.mmapLock.lockShared()
      try await machine.space.migrateVMA(
        operations, machine.space.find(range.start), start: range.start, end: range.end,
        sources: &sources, destinations: &destinations, private: &log)
      machine.space.mmapLock.unlockShared()
      #expect(log == ["allocate and copy", "finalize and map"])
      #expect(machine.location(range).isDevice && machine.location(range, 1).isRAM)
      try await machine.expectPattern(range)
    }
  }

  @Test func nothingToMigrate_callsNobody_andIsASuccess() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      #expect(
        await FormsTests.attempt(.callbacks2017, machine, range.start, range.end, room: 2) == nil)
      #expect(try await machine.device.migrate2017(machine.space, range) == 0)
    }
  }

  @Test func ends_areRoundedDown() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let odd = VirtualRange(range.start + 5, range.page(2) + 9)
      #expect(odd.pages == 2)
      #expect(try await machine.device.migrate2017(machine.space, odd) == 2)
      #expect(machine.location(range, 1).isDevice && machine.location(range, 2).isRAM)
    }
  }

  /// Without an owner a driver is handed pages of another driver's device; the forms since 2020
  /// never do that (R23).
  @Test func foreignDevicePages_areTaken_asTheyAreNotSince2020() throws {
    let machine = try TestMachine()
    let other = try TestDevice(machine.mm, "other", pages: 4)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await other.take(machine.space, range)
      var seen = 0
      let operations = MigrateVMAOperations<Int>(
        allocateAndCopy: { _, sources, _, _, seen in
          seen = sources.count { source in source.pfn.map(other.range.contains) ?? false }
        }, finalizeAndMap: { _, _, _, _, _ in })
      var sources = [FirstMigratePFN.empty]
      var destinations = sources
      await machine.space.mmapLock.lockShared()
      try await machine.space.migrateVMA(
        operations, machine.space.find(range.start), start: range.start, end: range.end,
        sources: &sources, destinations: &destinations, private: &seen)
      machine.space.mmapLock.unlockShared()
      #expect(seen == 1)
      #expect(try await machine.device.migrate2020(machine.space, range) == 0)
      #expect(machine.location(range).isDevice)
    }
  }

  /// "If the device driver cannot migrate a device page back to system memory, then it must set the
  /// corresponding dst array entry to MIGRATE_PFN_ERROR. This will trigger a SIGBUS".
  @Test func aPageThatCannotComeBack_isAnErrorWord_andSIGBUS() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let device = machine.device
      try await device.take(machine.space, range)
      device.handler = { fault in
        let operations = MigrateVMAOperations<Void>(
          allocateAndCopy: { _, _, destinations, _, _ in destinations[0] = .failed },
          finalizeAndMap: { _, _, _, _, _ in })
        var sources = [FirstMigratePFN.empty]
        var destinations = sources
        var nothing: Void = ()
        do throws(KernelError) {
          try await fault.space.migrateVMA(
            operations, fault.space.find(fault.address), start: fault.address,
            end: fault.address + 4096, sources: &sources, destinations: &destinations,
            private: &nothing, faultPage: fault.page)
        } catch {
          return .sigbus(error)
        }
        return destinations[0].isError ? .sigbus(.EIO) : .done
      }
      await expectThrows(AccessError.sigbus(range.start, .EIO)) {
        try await machine.read(range.start)
      }
      #expect(machine.location(range).isDevice, "the page kept its place")
      // "unless it is really in an unrecoverable state": a device that recovers serves it.
      device.handler = nil
      try await machine.expectPattern(range)
    }
  }
}
