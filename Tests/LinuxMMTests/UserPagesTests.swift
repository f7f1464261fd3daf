import Base
import KernelRuntime
import Testing

@testable import LinuxMM

@Suite struct UserPagesTests {
  /// A process and its child, which share the pages of a filled range.
  private func forked(
    _ machine: TestMachine, pages: Int
  ) async throws -> (range: VirtualRange, child: AddressSpace) {
    let range = try await machine.map(pages: pages)
    return (range, try await machine.space.fork("child"))
  }

  @Test func references_areCounted_andLeaveAPageShared() throws {
    let machine = try TestMachine()
    try machine.run {
      let (range, child) = try await self.forked(machine, pages: 2)
      let shared = try machine.frame(range)
      let got = try await machine.space.getUserPages(range.start, pages: 2)
      #expect(got.hold == .reference && got.count == 2)
      #expect(try machine.frame(range) == shared, "FOLL_GET for reading doesn't unshare")
      #expect(machine.mm.pinCount(got.pfns[0]) == 0)
      machine.mm.release(got)
      await child.exit()
    }
  }

  @Test(arguments: [false, true])
  func readPin_unsharesASharedPage_soThatALaterWriteFindsIt(fast: Bool) throws {
    let machine = try TestMachine()
    try machine.run {
      let (range, child) = try await self.forked(machine, pages: 1)
      let shared = try machine.frame(range)
      let space = machine.space
      let pinned =
        fast
        ? try await space.pinUserPagesFast(range.start, pages: 1)
        : try await space.pinUserPages(range.start, pages: 1)
      #expect(pinned.pfns != [shared])
      #expect(machine.mm.isExclusive(pinned.pfns[0]))
      #expect(!space.entry(at: range.start).isWritable, "unshared without the right to write")
      #expect(space.counters.copiesOnWrite == 1)
      try await machine.write(range.start, 7)
      #expect(try machine.frame(range) == pinned.pfns[0], "the write went to the pinned page")
      #expect(UInt64(littleEndianBytes: try await child.load(range.start, count: 8)) != 7)
      machine.mm.unpin(pinned)
      await child.exit()
    }
  }

  @Test func writePin_breaksCopyOnWrite_andKeepsTheChildsBytes() throws {
    let machine = try TestMachine()
    try machine.run {
      let (range, child) = try await self.forked(machine, pages: 2)
      let shared = try machine.frame(range)
      let pinned = try await machine.space.pinUserPages(range.start, pages: 2, .write)
      #expect(pinned.pfns[0] != shared)
      #expect(try machine.frame(range) == pinned.pfns[0])
      machine.mm.ram.store(UInt64(9), at: pinned.pfns[0].index << 12)
      #expect(
        UInt64(littleEndianBytes: try await child.load(range.start, count: 8))
          == TestMachine.word(0))
      machine.mm.unpin(pinned, dirty: true)
      #expect(machine.mm.isDirty(pinned.pfns[0]))
      await child.exit()
    }
  }

  @Test func zeroPage_isNotCounted_andALongReadPinReplacesIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let space = machine.space
      let short = try await space.pinUserPages(range.start, pages: 1)
      #expect(short.pfns == [MemoryManager.zeroPage])
      machine.mm.unpin(short)
      let long = try await space.pinUserPages(range.start, pages: 2, .longTerm)
      #expect(!long.pfns.contains(MemoryManager.zeroPage))
      #expect(machine.location(range) == .ram(long.pfns[0]))
      #expect(try await machine.read(range.start) == 0)
      try await machine.write(range.start, 5)
      #expect(machine.mm.ram.load(UInt64.self, at: long.pfns[0].index << 12) == 5)
      machine.mm.unpin(long)
    }
  }

  @Test func partialResult_isWhatCouldBeHad_andErrorsHaveTheirNames() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = VirtualAddress(0x10_0000)
      let space = machine.space
      _ = try await space.map(bytes: 3 << 12, .readWrite, at: start)
      let part = try await space.pinUserPages(start + 4096, pages: 5, .write)
      #expect(part.count == 2)
      machine.mm.unpin(part)
      await expectThrows(KernelError.EFAULT) {
        try await space.pinUserPages(start + 3 << 12, pages: 1)
      }
      await expectThrows(KernelError.EINVAL) {
        try await space.getUserPages(start, pages: 1, .longTerm)
      }
      await expectThrows(KernelError.EFAULT) {
        try await space.getUserPagesFast(VirtualRange.user.end - 4096, pages: 2)
      }
      #expect(try await space.getUserPages(start, pages: 0).count == 0)
      _ = try await space.map(bytes: 4096, .readWrite, at: start + 16 << 12)
      machine.kernel.failures.arm(.pageAlloc, .always)
      await expectThrows(KernelError.ENOMEM) {
        try await space.pinUserPages(start + 16 << 12, pages: 1, .write)
      }
      machine.kernel.failures.disarm(.pageAlloc)
    }
  }

  @Test func protection_isKept_unlessForced() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let space = machine.space
      let child = try await space.fork("child")
      try await space.protect(range, .read)
      await expectThrows(KernelError.EFAULT) {
        try await space.getUserPages(range.start, pages: 1, .write)
      }
      // A debugger writes into a copy; the program still may not.
      let forced = try await space.getUserPages(range.start, pages: 3, [.write, .force])
      machine.mm.ram.store(UInt64(1), at: forced.pfns[0].index << 12)
      #expect(try await machine.read(range.start) == 1)
      #expect(!space.entry(at: range.start).isWritable)
      #expect(
        UInt64(littleEndianBytes: try await child.load(range.start, count: 8))
          == TestMachine.word(0))
      machine.mm.release(forced)
      try await space.protect(range, .none)
      await expectThrows(KernelError.EFAULT) { try await space.getUserPages(range.start, pages: 1) }
      let peeked = try await space.getUserPages(range.start, pages: 1, .force)
      #expect(peeked.pfns == [forced.pfns[0]])
      machine.mm.release(peeked)
      await child.exit()
    }
  }

  @Test func driversMapping_isEFAULT() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = VirtualAddress(0x10_0000)
      _ = try await machine.space.map(
        bytes: 4096, .readWrite, at: start, flags: [.special, .pfnMap])
      for flags: UserPageFlags in [[], .write, .longTerm] {
        await expectThrows(KernelError.EFAULT) {
          try await machine.space.pinUserPages(start, pages: 1, flags)
        }
      }
    }
  }

  @Test func longPins_ofFiles() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let regular = try machine.mm.createFile("regular", bytes: 4096)
      let dax = try machine.mm.createFile("dax", bytes: 4096, isDAX: true)
      let shared = try await space.map(regular, bytes: 4096, .readWrite, shared: true)
      let own = try await space.map(regular, bytes: 4096, .readWrite, shared: false)
      let direct = try await space.map(dax, bytes: 4096, .readWrite, shared: true)
      // Write-back could not protect the page again.
      await expectThrows(KernelError.EFAULT) {
        try await space.pinUserPages(shared, pages: 1, [.write, .longTerm])
      }
      await expectThrows(KernelError.EOPNOTSUPP) {
        try await space.pinUserPages(direct, pages: 1, .longTerm)
      }
      let short = try await space.pinUserPages(shared, pages: 1, .write)
      // For reading, a private mapping gets a page of its own first.
      for isFast in [false, true] {
        let pinned =
          isFast
          ? try await space.pinUserPagesFast(own, pages: 1, .longTerm)
          : try await space.pinUserPages(own, pages: 1, .longTerm)
        #expect(pinned.pfns != short.pfns && machine.mm.isExclusive(pinned.pfns[0]))
        machine.mm.unpin(pinned)
      }
      machine.mm.unpin(short)
      await space.exit()
      try await regular.evict()
      try await dax.evict()
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func fastOnly_takesWhatIsPresent_andFaultsNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      for page in 0..<2 { try await machine.fill(range, page) }
      let faults = machine.space.counters.minorFaults
      let space = machine.space
      let got = try await space.pinUserPagesFast(range.start, pages: 4, [.write, .fastOnly])
      #expect(got.count == 2)
      #expect(space.counters.minorFaults == faults)
      // With a lock the rest comes too.
      let all = try await space.pinUserPagesFast(range.start, pages: 4, .write)
      #expect(all.count == 4 && all.pfns.prefix(2) == got.pfns.prefix(2))
      machine.mm.unpin(got)
      machine.mm.unpin(all)
    }
  }

  @Test func fastPin_backsOffWhileAForkProtects() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let space = machine.space
      space.writeProtectSequence += 1
      let none = try await space.pinUserPagesFast(range.start, pages: 1, [.write, .fastOnly])
      #expect(none.count == 0)
      let got = try await space.getUserPagesFast(range.start, pages: 1, [.write, .fastOnly])
      #expect(got.count == 1, "a reference doesn't promise what a pin does")
      space.writeProtectSequence += 1
      machine.mm.release(got)
      let before = space.writeProtectSequence
      await (try await space.fork("child")).exit()
      #expect(space.writeProtectSequence > before && space.writeProtectSequence & 1 == 0)
    }
  }

  @Test(arguments: [UserPages.Hold.reference, .pin])
  func heldPages_refuseToMigrate_andSayWhoHoldsThem(hold: UserPages.Hold) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let space = machine.space
      let held =
        hold == .pin
        ? try await space.pinUserPages(range.start, pages: 1)
        : try await space.getUserPages(range.start, pages: 1)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.device.take(space, range) == 1)
      #expect(machine.location(range).isRAM && machine.location(range, 1).isDevice)
      let report = machine.mm.referenceReport(held.pfns[0])
      #expect(report.references == 2 && report.mappings == 1)
      #expect(report.pins == (hold == .pin ? 1 : 0) && report.others == 1 - report.pins)
      #expect(report.holdsInPlace)
      let users = hold == .pin ? "1 pin" : "1 other"
      #expect("\(report)" == "page \(held.pfns[0]): 2 references (1 mapping, \(users))")
      machine.mm.release(held)
      #expect(!machine.mm.referenceReport(held.pfns[0]).holdsInPlace)
      #expect(try await machine.device.take(space, range) == 1)
    }
  }

  @Test(arguments: UInt64(0)..<20)
  func pinAgainstMigration_getsThePageOneWayOrTheOther(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 2)
      let mover = machine.kernel.spawn("mover") {
        do { try await machine.device.take(machine.space, range) } catch {
          Issue.record("\(error)")
        }
      }
      let pinned = try await machine.space.pinUserPages(range.start, pages: 2, .write)
      for (page, pfn) in pinned.pfns.enumerated() {
        #expect(machine.mm.isSystemPage(pfn), "R42")
        #expect(
          machine.mm.ram.load(UInt64.self, at: pfn.index << 12) == TestMachine.word(page))
        machine.mm.ram.store(UInt64(page + 1), at: pfn.index << 12)
      }
      await mover.join()
      for page in 0..<2 {
        #expect(try await machine.read(range.page(page)) == UInt64(page + 1), "seed \(seed)")
      }
      machine.mm.unpin(pinned)
      await machine.mm.drainLRUOfAllCPUs()
    }
  }
}
