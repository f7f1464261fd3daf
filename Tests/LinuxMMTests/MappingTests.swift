import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct MappingTests {
  @Test func map_roundsUpToPages_andPopulatesNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(bytes: 4097, .readWrite)
      #expect(machine.space.find(start)?.range.pages == 2)
      #expect(machine.space.counters.residentPages == 0)
      #expect(machine.space.entry(at: start).isNone)
    }
  }

  @Test func map_refusesBadArguments_andChangesNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      await expectThrows(KernelError.EINVAL) { try await space.map(bytes: 0, .readWrite) }
      await expectThrows(KernelError.EINVAL) {
        try await space.map(bytes: 4096, .readWrite, at: VirtualAddress(0x10_0010))
      }
      await expectThrows(KernelError.ENOMEM) { try await space.map(bytes: 1 << 48, .readWrite) }
      await expectThrows(KernelError.ENOMEM) {
        try await space.map(bytes: 8192, .readWrite, at: VirtualAddress((1 << 47) - 4096))
      }
      let start = try await space.map(bytes: 8192, .readWrite, at: VirtualAddress(0x10_0000))
      await expectThrows(KernelError.EEXIST) {
        try await space.map(bytes: 4096, .readWrite, at: start + 4096)
      }
      #expect(space.mappings.count == 1)
    }
  }

  @Test func alikeNeighbours_merge_andNamesKeepThemApart() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let base = VirtualAddress(0x10_0000)
      _ = try await space.map(bytes: 4096, .readWrite, at: base)
      _ = try await space.map(bytes: 4096, .readWrite, at: base + 8192)
      #expect(space.mappings.count == 2)
      _ = try await space.map(bytes: 4096, .readWrite, at: base + 4096)
      #expect(space.mappings.count == 1)
      _ = try await space.map(bytes: 4096, .readWrite, at: base + 12288, name: "other")
      #expect(space.mappings.count == 2)
    }
  }

  @Test func unmapInTheMiddle_splits_andFreesOnlyThatPart() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.space.unmap(range.subrange(2..<4))
      #expect(
        machine.space.mappings.map(\.range) == [range.subrange(0..<2), range.subrange(4..<6)])
      #expect(machine.space.counters.residentPages == 4)
      for page in [0, 1, 4, 5] {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      await expectThrows(AccessError.segv(range.page(2), .mapErr)) {
        try await machine.read(range.page(2))
      }
    }
  }

  @Test func unmap_refusesBadArguments_andIgnoresHoles() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.unmap(VirtualRange(range.start, range.start))
      }
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.unmap(VirtualRange(range.start + 1, range.end))
      }
      try await machine.space.unmap(VirtualRange(start: VirtualAddress(0x20_0000), pages: 3))
      #expect(machine.space.counters.residentPages == 2)
    }
  }

  @Test func tables_areFreedWhenTheirSpanIsUnmapped() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      // Two mappings that share the upper tables, in leaf tables of their own.
      let low = VirtualAddress(0x4000_0000)
      _ = try await space.map(bytes: 4096, .readWrite, at: low)
      _ = try await space.map(bytes: 4096, .readWrite, at: low + UInt64(2 << 20))
      try await machine.write(low, 1)
      try await machine.write(low + UInt64(2 << 20), 2)
      #expect(space.counters.pageTables == 5)
      try await space.unmap(VirtualRange(start: low, pages: 1))
      #expect(space.counters.pageTables == 4)
      try await space.unmap(VirtualRange(start: low + UInt64(2 << 20), pages: 1))
      #expect(space.counters.pageTables == 1)
    }
  }

  @Test func exit_freesEverything_andTheProcessIsGone() throws {
    let machine = try TestMachine()
    let free = machine.mm.freeSystemPages
    try machine.run {
      let range = try await machine.map(pages: 40)
      try await machine.device.take(machine.space, range.subrange(3..<9))
      await machine.space.exit()
      await machine.mm.drainLRUOfAllCPUs()
      await expectThrows(AccessError.segv(range.start, .mapErr)) {
        try await machine.read(range.start)
      }
      await machine.space.exit()
    }
    #expect(machine.mm.freeSystemPages == free)
    #expect(machine.mm.pageTables == 0)
    #expect(machine.mm.addressSpaces.isEmpty)
    #expect(machine.device.pagemap.references == 0)
  }

  @Test func protect_takesWriteAway_andGivesItBackWithoutAFault() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.protect(range.subrange(1..<2), .read)
      #expect(machine.space.mappings.count == 3)
      await expectThrows(AccessError.segv(range.page(1), .accErr)) {
        try await machine.write(range.page(1), 9)
      }
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      try await machine.space.protect(range, .readWrite)
      #expect(machine.space.mappings.count == 1)
      let faults = machine.space.counters.minorFaults
      try await machine.write(range.page(1), 9)
      #expect(machine.space.counters.minorFaults == faults)
    }
  }

  @Test func protectNone_refusesReads_andKeepsBytes() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.protect(range, .none)
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.read(range.start)
      }
      // A page without access can still migrate, and comes back without access.
      #expect(try await machine.device.take(machine.space, range.subrange(0..<1)) == 1)
      try await machine.device.evict()
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.read(range.start)
      }
      try await machine.space.protect(range, .read)
      try await machine.expectPattern(range)
    }
  }

  @Test func protect_refusesHoles_andChangesNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.unmap(range.subrange(1..<2))
      await expectThrows(KernelError.ENOMEM) { try await machine.space.protect(range, .read) }
      try await machine.write(range.page(0), 4)
      #expect(machine.space.mappings.allSatisfy { $0.protection == .readWrite })
    }
  }

  @Test func discardedPages_readAsZeroes() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.device.take(machine.space, range.subrange(1..<2))
      try await machine.space.discard(range.subrange(0..<2))
      #expect(try await machine.read(range.page(0)) == 0)
      #expect(try await machine.read(range.page(1)) == 0)
      #expect(try await machine.read(range.page(2)) == TestMachine.word(2))
      #expect(machine.space.counters.residentPages == 2)
      #expect(machine.device.pagemap.references == 0)
    }
  }

  @Test func bigMappings_beginOnAHugePageBoundary() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(bytes: 4 << 20, .readWrite)
      #expect(start.isAligned(to: 2 << 20))
    }
  }
}
