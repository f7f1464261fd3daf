import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/mlock2-tests.c and mlock-random-test.c.
@Suite struct LockSelftests {
  private func flags(_ machine: TestMachine, _ range: VirtualRange, _ page: Int) -> VMA.Flags {
    machine.space.find(range.page(page))?.flags ?? []
  }

  private func expectFlags(
    _ machine: TestMachine, _ range: VirtualRange, _ flags: VMA.Flags,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for page in 0..<range.pages {
      #expect(
        self.flags(machine, range, page).intersection([.locked, .lockedOnFault]) == flags,
        sourceLocation: sourceLocation)
    }
  }

  private func isInRAM(_ machine: TestMachine, _ range: VirtualRange) -> [Bool] {
    (0..<range.pages).map { machine.location(range, $0).isRAM }
  }

  @Test("mlock2-tests: test_mlock_lock")
  func lock() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.lockMemory(range)
      self.expectFlags(machine, range, .locked)
      #expect(self.isInRAM(machine, range) == [true, true])
      try await machine.space.unlockMemory(range)
      self.expectFlags(machine, range, [])
    }
  }

  @Test("mlock2-tests: test_mlock_onfault")
  func lockOnFault() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.lockMemory(range, onFault: true)
      try await machine.write(range.start, 1)
      self.expectFlags(machine, range, [.locked, .lockedOnFault])
      #expect(self.isInRAM(machine, range) == [true, false])
      #expect(machine.mm.isUnevictable(try machine.frame(range)))
      try await machine.space.unlockMemory(range)
      self.expectFlags(machine, range, [])
      #expect(!machine.mm.isUnevictable(try machine.frame(range)))
    }
  }

  @Test("mlock2-tests: test_lock_onfault_of_present")
  func lockOnFaultOfPresent() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.write(range.start, 1)
      try await machine.space.lockMemory(range, onFault: true)
      self.expectFlags(machine, range, [.locked, .lockedOnFault])
      #expect(machine.mm.isUnevictable(try machine.frame(range)))
    }
  }

  @Test("mlock2-tests: test_munlockall0")
  func unlockAll() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.lockAllMemory(.current)
      self.expectFlags(machine, range, .locked)
      #expect(self.isInRAM(machine, range) == [true, true])
      await machine.space.unlockAllMemory()
      self.expectFlags(machine, range, [])
      #expect(machine.space.lockedPages == 0)
    }
  }

  @Test("mlock2-tests: test_munlockall1")
  func unlockAllOfEveryKind() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.lockAllMemory([.current, .onFault])
      self.expectFlags(machine, range, [.locked, .lockedOnFault])
      #expect(self.isInRAM(machine, range) == [false, false])
      await machine.space.unlockAllMemory()
      self.expectFlags(machine, range, [])
      try await machine.space.lockAllMemory([.current, .future])
      self.expectFlags(machine, range, .locked)
      #expect(self.isInRAM(machine, range) == [true, true])
      await machine.space.unlockAllMemory()
      self.expectFlags(machine, range, [])
      let later = try await machine.map(pages: 1, filled: false)
      self.expectFlags(machine, later, [])
    }
  }

  /// One mapping, three when the page in the middle is unlocked, and one again.
  private func manage(_ machine: TestMachine, locks: Bool) async throws {
    let range = try await machine.map(pages: 3, filled: false)
    func starts() -> [VirtualAddress?] {
      (0..<3).map { machine.space.find(range.page($0))?.range.start }
    }
    if locks { try await machine.space.lockMemory(range, onFault: true) }
    #expect(Set(starts()).count == 1)
    try await machine.space.unlockMemory(range.subrange(1..<2))
    #expect(Set(starts()).count == 3)
    try await machine.space.unlockMemory(range)
    #expect(Set(starts()).count == 1)
  }

  @Test("mlock2-tests: test_vma_management")
  func vmaManagement() throws {
    let machine = try TestMachine()
    try machine.run { try await self.manage(machine, locks: true) }
  }

  @Test("mlock2-tests: test_mlockall")
  func lockAll() throws {
    let machine = try TestMachine()
    try machine.run {
      try await machine.space.lockAllMemory([.current, .future, .onFault])
      try await self.manage(machine, locks: false)
      await machine.space.unlockAllMemory()
    }
  }

  /// Locks parts of a piece of memory at random; what each try gives.
  private func lockAtRandom(
    _ machine: TestMachine, _ range: VirtualRange, atLeast: UInt64
  ) async throws -> Set<KernelError?> {
    var generator = SplitMix64(seed: 5)
    var met: Set<KernelError?> = []
    for _ in 0..<100 {
      let length = atLeast + UInt64(generator.below(Int(range.bytes - atLeast)))
      let offset = UInt64(generator.below(Int(range.bytes - length)))
      let part = VirtualRange(start: range.start + offset, bytes: length)
      do throws(KernelError) {
        try await machine.space.lockMemory(part, onFault: generator.chance(1, in: 2))
        met.insert(nil)
      } catch {
        met.insert(error)
      }
    }
    return met
  }

  @Test("mlock-random-test: test_mlock_within_limit")
  func withinLimit() throws {
    let machine = try TestMachine()
    try machine.run {
      machine.space.lockLimit = 32 << 12
      let range = try await machine.map(pages: 16, filled: false)
      #expect(try await self.lockAtRandom(machine, range, atLeast: 0) == [nil])
      #expect(machine.space.lockedPages <= 16)
    }
  }

  @Test("mlock-random-test: test_mlock_outof_limit")
  func outOfLimit() throws {
    let machine = try TestMachine()
    try machine.run {
      machine.space.lockLimit = 8 << 12
      let range = try await machine.map(pages: 16, filled: false)
      let met = try await self.lockAtRandom(machine, range, atLeast: 8 << 12 + 1)
      #expect(met == [.ENOMEM])
      #expect(machine.space.lockedPages == 0)
    }
  }
}
