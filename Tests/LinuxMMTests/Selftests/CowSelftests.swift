import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/cow.c: anonymous memory in private mappings, each case on base
/// pages and on huge ones, whole and in parts, in RAM and in swap space.
@Suite struct CowSelftests {
  private static func new(_ page: Int) -> UInt64 { 0xc000 + UInt64(page) }

  /// The words that a process sees, or that somebody who holds the pages sees.
  private func words(_ space: AddressSpace, _ range: VirtualRange) async throws -> [UInt64] {
    var words: [UInt64] = []
    for page in CowRun.sample(range) { words.append(try await space.read(range.page(page))) }
    return words
  }

  private func words(
    _ machine: TestMachine, _ held: UserPages, _ range: VirtualRange
  ) -> [UInt64] {
    CowRun.sample(range).map {
      machine.mm.ram.load(UInt64.self, at: held.pfns[$0].index << 12)
    }
  }

  private func old(_ range: VirtualRange) -> [UInt64] {
    CowRun.sample(range).map { TestMachine.word($0) }
  }

  private func new(_ range: VirtualRange) -> [UInt64] { CowRun.sample(range).map(Self.new) }

  private func modify(_ space: AddressSpace, _ range: VirtualRange) async throws {
    for page in CowRun.sample(range) { try await space.write(range.page(page), Self.new(page)) }
  }

  /// Takes the right to write away and gives it back, which must not undo the sharing.
  private func mprotect(_ space: AddressSpace, _ range: VirtualRange) async throws {
    try await space.protect(range, .read)
    try await space.protect(range, .readWrite)
  }

  private func basic(_ run: CowRun, mprotect: Bool) throws {
    try run.play { machine, range in
      let child = try await machine.space.fork("child")
      if mprotect { try await self.mprotect(machine.space, range) }
      try await self.modify(machine.space, range)
      #expect(try await self.words(child, range) == self.old(range))
      await child.exit()
    }
  }

  @Test("cow: Basic COW after fork()", arguments: CowRun.allCases)
  func basic(_ run: CowRun) throws { try basic(run, mprotect: false) }

  @Test("cow: Basic COW after fork() with mprotect() optimization", arguments: CowRun.allCases)
  func basicMprotect(_ run: CowRun) throws { try basic(run, mprotect: true) }

  /// What somebody sees who holds pages by plain references while the process writes. Of hugetlb
  /// pages Linux shows him the writes, and `cow.c` marks the case as expected to fail.
  private func expected(_ run: CowRun, _ range: VirtualRange) -> [UInt64] {
    run == .hugetlb ? new(range) : old(range)
  }

  private func spliceInChild(_ run: CowRun, mprotect: Bool) throws {
    try run.play { machine, range in
      let child = try await machine.space.fork("child")
      let held = try await child.getUserPages(range.start, pages: range.pages)
      try #require(held.count == range.pages)
      try await child.unmap(range)
      if mprotect { try await self.mprotect(machine.space, range) }
      try await self.modify(machine.space, range)
      #expect(self.words(machine, held, range) == self.expected(run, range))
      machine.mm.release(held)
      await child.exit()
    }
  }

  @Test("cow: vmsplice() + unmap in child", arguments: CowRun.allCases)
  func spliceInChild(_ run: CowRun) throws { try spliceInChild(run, mprotect: false) }

  @Test(
    "cow: vmsplice() + unmap in child with mprotect() optimization", arguments: CowRun.allCases)
  func spliceInChildMprotect(_ run: CowRun) throws { try spliceInChild(run, mprotect: true) }

  private func spliceInParent(_ run: CowRun, beforeFork: Bool) throws {
    try run.play { machine, range in
      var held: UserPages?
      if beforeFork {
        held = try await machine.space.getUserPages(range.start, pages: range.pages)
      }
      let child = try await machine.space.fork("child")
      if !beforeFork {
        held = try await machine.space.getUserPages(range.start, pages: range.pages)
      }
      try await machine.space.unmap(range)
      try await self.modify(child, range)
      let pages = try #require(held)
      #expect(self.words(machine, pages, range) == self.expected(run, range))
      machine.mm.release(pages)
      await child.exit()
    }
  }

  @Test(
    "cow: vmsplice() before fork(), unmap in parent after fork()", arguments: CowRun.allCases)
  func spliceBeforeFork(_ run: CowRun) throws { try spliceInParent(run, beforeFork: true) }

  @Test("cow: vmsplice() + unmap in parent after fork()", arguments: CowRun.allCases)
  func spliceAfterFork(_ run: CowRun) throws { try spliceInParent(run, beforeFork: false) }

  @Test(
    "cow: R/O-mapping a page registered as iouring fixed buffer", arguments: CowRun.allCases)
  func readOnlyFixedBuffer(_ run: CowRun) throws {
    try run.play { machine, range in
      let pinned = try await machine.space.pinUserPages(
        range.start, pages: range.pages, [.write, .longTerm])
      try await self.mprotect(machine.space, range)
      try await self.modify(machine.space, range)
      #expect(self.words(machine, pinned, range) == self.new(range))
      machine.mm.unpin(pinned)
    }
  }

  @Test("cow: fork() with an iouring fixed buffer", arguments: CowRun.allCases)
  func forkFixedBuffer(_ run: CowRun) throws {
    try run.play { machine, range in
      let pinned = try await machine.space.pinUserPages(
        range.start, pages: range.pages, [.write, .longTerm])
      let child = try await machine.space.fork("child")
      try await self.modify(machine.space, range)
      #expect(self.words(machine, pinned, range) == self.new(range))
      #expect(try await self.words(child, range) == self.old(range))
      machine.mm.unpin(pinned)
      await child.exit()
    }
  }

  private enum Sharing { case shared, previouslyShared, exclusive }

  /// A page that was pinned for reading must stay the one that the process writes.
  private func readPin(_ run: CowRun, _ sharing: Sharing, fast: Bool) throws {
    try run.play { machine, range in
      let space = machine.space
      var child: AddressSpace?
      if sharing != .exclusive { child = try await space.fork("child") }
      if sharing == .previouslyShared { await child?.exit() }
      try await space.protect(range, .read)
      let pinned =
        fast
        ? try await space.pinUserPagesFast(range.start, pages: range.pages, .longTerm)
        : try await space.pinUserPages(range.start, pages: range.pages, .longTerm)
      try #require(pinned.count == range.pages)
      #expect(self.words(machine, pinned, range) == self.old(range))
      try await space.protect(range, .readWrite)
      try await self.modify(space, range)
      #expect(self.words(machine, pinned, range) == self.new(range))
      machine.mm.unpin(pinned)
      if sharing == .shared, let child {
        #expect(try await self.words(child, range) == self.old(range))
        await child.exit()
      }
    }
  }

  @Test("cow: R/O GUP pin on R/O-mapped shared page", arguments: CowRun.allCases)
  func pinShared(_ run: CowRun) throws { try readPin(run, .shared, fast: false) }

  @Test("cow: R/O GUP-fast pin on R/O-mapped shared page", arguments: CowRun.allCases)
  func fastPinShared(_ run: CowRun) throws { try readPin(run, .shared, fast: true) }

  @Test("cow: R/O GUP pin on R/O-mapped previously-shared page", arguments: CowRun.allCases)
  func pinPreviouslyShared(_ run: CowRun) throws {
    try readPin(run, .previouslyShared, fast: false)
  }

  @Test("cow: R/O GUP-fast pin on R/O-mapped previously-shared page", arguments: CowRun.allCases)
  func fastPinPreviouslyShared(_ run: CowRun) throws {
    try readPin(run, .previouslyShared, fast: true)
  }

  @Test("cow: R/O GUP pin on R/O-mapped exclusive page", arguments: CowRun.allCases)
  func pinExclusive(_ run: CowRun) throws { try readPin(run, .exclusive, fast: false) }

  @Test("cow: R/O GUP-fast pin on R/O-mapped exclusive page", arguments: CowRun.allCases)
  func fastPinExclusive(_ run: CowRun) throws { try readPin(run, .exclusive, fast: true) }
}
