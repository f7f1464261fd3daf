import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/migration.c: a page moves to and fro while tasks, or
/// processes, read it all the time. The places are two places of RAM, as two nodes are.
@Suite struct MigrationSelftests {
  /// Moves the page of a range to another place in RAM; whether it went.
  private func hop(_ machine: TestMachine, _ range: VirtualRange) async throws -> Bool {
    let mm = machine.mm
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    let pages = try await machine.space.migrateSetup(
      MigrationRequest(range, owner: machine.device.owner, select: [.system, .compound]),
      MigrationBuffers(pages: range.pages))
    for index in 0..<pages.count where pages[source: index].migrates {
      guard let old = pages[source: index].pfn else { continue }
      if pages[source: index].isCompound {
        guard let new = try? mm.allocateHugePage() else { continue }
        let isLocked = mm.tryLock(new)
        #expect(isLocked)
        await machine.kernel.point()
        mm.ram.copy(
          from: mm.ram, at: old.index << 12, to: new.index << 12, length: PageSize.hugeBytes)
        pages[destination: index] = MigratePFN(huge: new)
        continue
      }
      guard let new = try? mm.allocatePage() else { continue }
      let isLocked = mm.tryLock(new)
      #expect(isLocked)
      await machine.kernel.point()
      mm.ram.copy(from: mm.ram, at: old.index << 12, to: new.index << 12, length: 4096)
      pages[destination: index] = MigratePFN(new)
    }
    let committed = await pages.commit()
    let moved = committed[source: 0].migrates
    committed.finalize()
    return moved
  }

  /// Reads until the mover is done, then looks at what was met.
  private func play(_ seed: UInt64, shared: Bool, pages: Int = 1) throws {
    let choices = RandomWalkChoices(seed: seed)
    let machine =
      pages > 1 ? try TestMachine.huge(choices: choices) : try TestMachine(choices: choices)
    try machine.run("seed \(seed)") {
      let start = try await machine.space.map(
        bytes: UInt64(pages) << 12, .readWrite, flags: shared ? [.anonymous, .shared] : .anonymous)
      let range = VirtualRange(start: start, pages: pages)
      for page in stride(from: 0, to: pages, by: 64) { try await machine.fill(range, page) }
      // Private memory is read by tasks of one process, shared memory by processes.
      var spaces = [machine.space, machine.space]
      if shared { spaces = [try await machine.space.fork("1"), try await machine.space.fork("2")] }
      var isOver = false
      let readers = spaces.map { space in
        machine.kernel.spawn("reader") {
          do {
            while !isOver { #expect(try await space.read(start) == TestMachine.word(0)) }
          } catch {
            Issue.record("seed \(seed): \(error)")
          }
        }
      }
      var moved = 0
      for _ in 0..<20 where try await self.hop(machine, range) { moved += 1 }
      isOver = true
      for reader in readers { await reader.join() }
      #expect(moved > 0, "seed \(seed)")
      if pages > 1 { #expect(machine.isHuge(range), "seed \(seed)") }
      for space in spaces where space !== machine.space { await space.exit() }
      await machine.mm.drainLRUOfAllCPUs()
      try await machine.expectPattern(range, step: 64)
    }
  }

  @Test("migration: private_anon", arguments: UInt64(0)..<10)
  func privateAnonymous(seed: UInt64) throws { try play(seed, shared: false) }

  @Test("migration: private_anon_thp", arguments: UInt64(0)..<4)
  func privateAnonymousHuge(seed: UInt64) throws {
    try play(seed, shared: false, pages: HugePage.pages)
  }

  @Test("migration: shared_anon", arguments: UInt64(0)..<10)
  func sharedAnonymous(seed: UInt64) throws { try play(seed, shared: true) }
}
