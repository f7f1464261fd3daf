import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct SoftDirtyTests {
  @Test func writesAreSeen_readsAreNot() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      #expect(machine.space.isSoftDirty(range.start))
      await machine.space.clearSoftDirty()
      #expect(!machine.space.isSoftDirty(range.page(0)))
      _ = try await machine.read(range.page(0))
      #expect(!machine.space.isSoftDirty(range.page(0)))
      try await machine.write(range.page(1), 5)
      #expect(machine.space.isSoftDirty(range.page(1)))
    }
  }

  @Test func newMapping_countsAsWritten_alsoWhenItMerges() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      #expect(machine.space.isSoftDirty(range.start))
      await machine.space.clearSoftDirty()
      #expect(!machine.space.isSoftDirty(range.start))
      _ = try await machine.space.map(bytes: 4096, .readWrite, at: range.end)
      #expect(machine.space.mappings.count == 1)
      #expect(machine.space.isSoftDirty(range.end))
      await machine.space.clearSoftDirty()
      try await machine.space.protect(range.subrange(1..<2), .read)
      #expect(!machine.space.isSoftDirty(range.page(1)))
    }
  }

  /// M14: the bit stays what it is on every way that a page can go.
  @Test(arguments: [false, true])
  func bitSurvives_deviceSwapAndAbandonedMigration(written: Bool) throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 1)
      await machine.space.clearSoftDirty()
      if written { try await machine.fill(range, 0) }
      func expect(_ step: String) {
        #expect(machine.space.isSoftDirty(range.start) == written, "\(step)")
      }
      try await machine.device.take(machine.space, range)
      expect("on the device")
      try await machine.device.evict()
      expect("back by eviction")
      try await machine.device.take(machine.space, range)
      try await machine.expectPattern(range)
      expect("back by a fault")
      machine.kernel.failures.arm(.migrateCommit, .nth(1))
      try await machine.device.take(machine.space, range)
      expect("refused")
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range) == 1)
      expect("swapped out")
      try await machine.expectPattern(range)
      expect("swapped in")
      let child = try await machine.space.fork("child")
      #expect(child.isSoftDirty(range.start) || !written)
    }
  }

  @Test func mirrorsAreTold() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let notifier = try machine.space.insertNotifier(range, QuietMirror())
      let sequence = await notifier.readBegin()
      await machine.space.clearSoftDirty()
      #expect(notifier.readRetry(sequence))
      await notifier.remove()
    }
  }
}
