import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/cow.c, the cases of base pages.
@Suite struct CowSelftests {
  private static let old = TestMachine.word(0)
  private static let new: UInt64 = 0xc0

  /// What a page that somebody holds shows.
  private func word(_ machine: TestMachine, _ held: UserPages) -> UInt64 {
    machine.mm.ram.load(UInt64.self, at: held.pfns[0].index << 12)
  }

  /// Parent and child with one page between them; `body` plays what the two do.
  private func fork(
    _ body: @escaping (TestMachine, _ child: AddressSpace, VirtualRange) async throws -> Void
  ) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let child = try await machine.space.fork("child")
      try await body(machine, child, range)
      if !child.isExiting { await child.exit() }
    }
  }

  /// Takes the right to write away and gives it back, which must not undo the sharing.
  private func mprotect(_ space: AddressSpace, _ range: VirtualRange) async throws {
    try await space.protect(range, .read)
    try await space.protect(range, .readWrite)
  }

  private func basic(mprotect: Bool) throws {
    try fork { machine, child, range in
      if mprotect { try await self.mprotect(machine.space, range) }
      try await machine.write(range.start, Self.new)
      #expect(try await child.read(range.start) == Self.old)
    }
  }

  @Test("cow: Basic COW after fork()")
  func basic() throws { try basic(mprotect: false) }

  @Test("cow: Basic COW after fork() with mprotect() optimization")
  func basicMprotect() throws { try basic(mprotect: true) }

  private func spliceInChild(mprotect: Bool) throws {
    try fork { machine, child, range in
      let held = try await child.getUserPages(range.start, pages: 1)
      try await child.unmap(range)
      if mprotect { try await self.mprotect(machine.space, range) }
      try await machine.write(range.start, Self.new)
      #expect(self.word(machine, held) == Self.old)
      machine.mm.release(held)
    }
  }

  @Test("cow: vmsplice() + unmap in child")
  func spliceInChild() throws { try spliceInChild(mprotect: false) }

  @Test("cow: vmsplice() + unmap in child with mprotect() optimization")
  func spliceInChildMprotect() throws { try spliceInChild(mprotect: true) }

  private func spliceInParent(beforeFork: Bool) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      var held: UserPages?
      if beforeFork { held = try await machine.space.getUserPages(range.start, pages: 1) }
      let child = try await machine.space.fork("child")
      if !beforeFork { held = try await machine.space.getUserPages(range.start, pages: 1) }
      try await machine.space.unmap(range)
      try await child.write(range.start, Self.new)
      let pages = try #require(held)
      #expect(self.word(machine, pages) == Self.old)
      machine.mm.release(pages)
      await child.exit()
    }
  }

  @Test("cow: vmsplice() before fork(), unmap in parent after fork()")
  func spliceBeforeFork() throws { try spliceInParent(beforeFork: true) }

  @Test("cow: vmsplice() + unmap in parent after fork()")
  func spliceAfterFork() throws { try spliceInParent(beforeFork: false) }

  @Test("cow: R/O-mapping a page registered as iouring fixed buffer")
  func readOnlyFixedBuffer() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let pinned = try await machine.space.pinUserPages(
        range.start, pages: 1, [.write, .longTerm])
      try await self.mprotect(machine.space, range)
      try await machine.write(range.start, Self.new)
      #expect(self.word(machine, pinned) == Self.new)
      machine.mm.unpin(pinned)
    }
  }

  @Test("cow: fork() with an iouring fixed buffer")
  func forkFixedBuffer() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let pinned = try await machine.space.pinUserPages(
        range.start, pages: 1, [.write, .longTerm])
      let child = try await machine.space.fork("child")
      try await machine.write(range.start, Self.new)
      #expect(self.word(machine, pinned) == Self.new)
      #expect(try await child.read(range.start) == Self.old)
      machine.mm.unpin(pinned)
      await child.exit()
    }
  }

  private enum Sharing { case shared, previouslyShared, exclusive }

  /// A page that was pinned for reading must stay the one that the process writes.
  private func readPin(_ sharing: Sharing, fast: Bool) throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let range = try await machine.map(pages: 1)
      var child: AddressSpace?
      if sharing != .exclusive { child = try await space.fork("child") }
      if sharing == .previouslyShared { await child?.exit() }
      try await space.protect(range, .read)
      let pinned =
        fast
        ? try await space.pinUserPagesFast(range.start, pages: 1, .longTerm)
        : try await space.pinUserPages(range.start, pages: 1, .longTerm)
      #expect(self.word(machine, pinned) == Self.old)
      try await space.protect(range, .readWrite)
      try await machine.write(range.start, Self.new)
      #expect(self.word(machine, pinned) == Self.new)
      machine.mm.unpin(pinned)
      if sharing == .shared {
        #expect(try await child?.read(range.start) == Self.old)
        await child?.exit()
      }
    }
  }

  @Test("cow: R/O GUP pin on R/O-mapped shared page")
  func pinShared() throws { try readPin(.shared, fast: false) }

  @Test("cow: R/O GUP-fast pin on R/O-mapped shared page")
  func fastPinShared() throws { try readPin(.shared, fast: true) }

  @Test("cow: R/O GUP pin on R/O-mapped previously-shared page")
  func pinPreviouslyShared() throws { try readPin(.previouslyShared, fast: false) }

  @Test("cow: R/O GUP-fast pin on R/O-mapped previously-shared page")
  func fastPinPreviouslyShared() throws { try readPin(.previouslyShared, fast: true) }

  @Test("cow: R/O GUP pin on R/O-mapped exclusive page")
  func pinExclusive() throws { try readPin(.exclusive, fast: false) }

  @Test("cow: R/O GUP-fast pin on R/O-mapped exclusive page")
  func fastPinExclusive() throws { try readPin(.exclusive, fast: true) }
}
