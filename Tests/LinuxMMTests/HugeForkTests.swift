import Base
import KernelRuntime
import LinuxMM
import Testing

/// Huge pages of two processes: sharing at a fork, writes, and migrations of what is shared.
@Suite struct HugeForkTests {
  static let pages = HugePage.pages

  private func word(_ space: AddressSpace, _ address: VirtualAddress) async throws -> UInt64 {
    UInt64(littleEndianBytes: try await space.load(address, count: 8))
  }

  @Test func aChild_sharesTheHugeEntry() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let child = try await machine.space.fork("child")
      #expect(child.isMappedHuge(range.start) && machine.isHuge(range))
      #expect(child.counters.residentPages == Self.pages)
      let head = try machine.frame(range)
      #expect(machine.mm.mapCount(head + 3) == 2 && !machine.mm.isExclusive(head))
      // The child's write copies one page; the parent's huge entry stays.
      try await child.store(range.page(3), UInt64(99).bytes)
      #expect(!child.isMappedHuge(range.start) && machine.isHuge(range))
      #expect(try await word(child, range.page(3)) == 99)
      #expect(try await word(child, range.page(4)) == TestMachine.word(4))
      try await machine.expectPattern(range)
      try await machine.write(range.page(5), 55)
      #expect(try await word(child, range.page(5)) == TestMachine.word(5))
      await child.exit()
      machine.mm.splitDeferred()
      #expect(try await machine.read(range.page(5)) == 55)
      #expect(try await machine.read(range.page(6)) == TestMachine.word(6))
    }
  }

  @Test func theLastUser_writesInPlace() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let head = try machine.frame(range)
      let child = try await machine.space.fork("child")
      await child.exit()
      try await machine.write(range.page(3), 33)
      #expect(machine.isHuge(range))
      #expect(try machine.frame(range) == head && machine.mm.isExclusive(head))
    }
  }

  @Test func aPinnedHugePage_staysTheParents() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let pin = try await machine.space.pin(range.page(9), pages: 1, write: true)
      let child = try await machine.space.fork("child")
      try await machine.write(range.page(9), 1)
      #expect(try machine.frame(range, 9) == pin.pfns[0])
      #expect(try await word(child, range.page(9)) == TestMachine.word(9))
      machine.mm.unpin(pin)
      await child.exit()
    }
  }

  @Test func noTable_noChild() throws {
    for nth in 1...12 {
      let machine = try TestMachine.huge()
      try machine.run("table \(nth)") {
        let range = try await machine.mapHuge(2, step: 64)
        machine.kernel.failures.arm(.pageTableAlloc, .nth(UInt64(nth)))
        let child = try? await machine.space.fork("child")
        machine.kernel.failures.disarm()
        try await machine.expectPattern(range, step: 64)
        await child?.exit()
      }
    }
  }

  /// What both map moves with both entries.
  @Test(arguments: [true, false])
  func aSharedHugePage_migratesWhole(evicts: Bool) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let child = try await machine.space.fork("child")
      let moved = try await machine.device.takeHuge(machine.space, range)
      #expect(moved.count == 1 && moved[0].isCompound)
      #expect(child.isMappedHuge(range.start) && child.counters.devicePages == Self.pages)
      if evicts {
        #expect(try await machine.device.evict() == 0)
        #expect(child.isMappedHuge(range.start) && machine.isHuge(range))
      }
      #expect(try await word(child, range.page(400)) == TestMachine.word(400))
      try await child.store(range.page(8), UInt64(88).bytes)
      try await machine.expectPattern(range)
      #expect(try await word(child, range.page(8)) == 88)
      await child.exit()
      machine.mm.splitDeferred()
    }
  }

  @Test func aHugeDevicePage_isSharedAtAFork() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      let child = try await machine.space.fork("child")
      #expect(child.isMappedHuge(range.start) && child.counters.devicePages == Self.pages)
      // One of them loses a part: both see the rest, the other sees all.
      try await child.unmap(range.subrange(0..<100))
      #expect(machine.device.freed.isEmpty)
      try await machine.expectPattern(range)
      #expect(try await word(child, range.page(100)) == TestMachine.word(100))
      await child.exit()
      machine.mm.splitDeferred()
    }
  }

  @Test func basePagesOfAHugePage_areCopiedAtAFork() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.protect(range.subrange(0..<100), .read)
      let child = try await machine.space.fork("child")
      try await machine.write(range.page(200), 7)
      #expect(try await word(child, range.page(200)) == TestMachine.word(200))
      try await child.unmap(range)
      #expect(try await machine.read(range.page(50)) == TestMachine.word(50))
      await child.exit()
      machine.mm.splitDeferred()
    }
  }
}
