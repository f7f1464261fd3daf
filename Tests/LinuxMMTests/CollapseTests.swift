import Base
import KernelRuntime
import LinuxMM
import Testing

/// `madvise(MADV_COLLAPSE)`: 512 base pages become a huge one, or stay with a reason.
@Suite struct CollapseTests {
  static let pages = HugePage.pages

  @Test func basePages_becomeAHugeOne() throws {
    let machine = try TestMachine.huge(policy: .never)
    try machine.run {
      let range = try await machine.mapHuge(2, step: 3)
      _ = try await machine.read(range.page(4))
      try await machine.space.collapse(range)
      #expect(machine.isHuge(range) && machine.isHuge(range, Self.pages))
      #expect(machine.space.counters.residentPages == 2 * Self.pages)
      #expect(machine.mm.hugeCounters.collapses == 2)
      try await machine.expectPattern(range, step: 3)
      try await machine.write(range.page(1), 1)
      #expect(machine.isHuge(range))
      try await machine.space.collapse(range)
      #expect(machine.mm.hugeCounters.collapses == 2)
    }
  }

  @Test func arguments_areChecked() throws {
    let machine = try TestMachine.huge(policy: .never)
    try machine.run {
      let range = try await machine.mapHuge()
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.collapse(VirtualRange(range.start + 1, range.end))
      }
      await expectThrows(KernelError.ENOMEM) {
        try await machine.space.collapse(VirtualRange(range.start, range.end + 4096))
      }
      // No whole 2 MiB inside: nothing to do.
      try await machine.space.collapse(range.subrange(1..<Self.pages))
      #expect(!machine.isHuge(range))
    }
  }

  enum Hindrance: CaseIterable { case device, pin, lock, memory, untouched, refused, watched }

  @Test(arguments: Hindrance.allCases)
  func aHindrance_isNamed(hindrance: Hindrance) throws {
    let machine = try TestMachine.huge(policy: .never)
    try machine.run {
      let range = try await machine.mapHuge(step: 3, filled: hindrance != .untouched)
      let page = range.page(6)
      let expected: CollapseRefusal
      switch hindrance {
      case .device:
        try await machine.device.take(machine.space, range.subrange(6..<7))
        expected = .notPresent
      case .pin:
        let pin = try await machine.space.pin(page, pages: 1, write: true)
        #expect(await machine.space.collapseBlock(page) == .pageCount)
        machine.mm.unpin(pin)
        expected = .noMemory
        machine.kernel.failures.arm(.hugeAlloc, .from(1))
      case .lock:
        _ = machine.mm.tryLock(try machine.frame(range, 6))
        expected = .pageLock
      case .memory:
        machine.kernel.failures.arm(.hugeAlloc, .from(1))
        expected = .noMemory
      case .untouched: expected = .untouched
      case .refused:
        try await machine.space.adviseHuge(range, false)
        expected = .mapping
      case .watched:
        try await machine.space.watchMissing(range)
        expected = .userfault
      }
      let resident = machine.space.counters.residentPages
      #expect(await machine.space.collapseBlock(page) == expected)
      await expectThrows(expected.error) { try await machine.space.collapse(range) }
      machine.kernel.failures.disarm()
      #expect(!machine.isHuge(range) && machine.space.counters.residentPages == resident)
      if hindrance == .lock { machine.mm.unlock(try machine.frame(range, 6)) }
      if hindrance != .untouched { #expect(try await machine.read(page) == TestMachine.word(6)) }
    }
  }

  /// Parts of a split huge page, and pages shared with a child, are copied.
  @Test func partsAndSharedPages_areCopied() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.discard(range.subrange(10..<20))
      let child = try await machine.space.fork("child")
      try await machine.space.collapse(range)
      #expect(machine.isHuge(range))
      try await machine.write(range.page(30), 3)
      #expect(try await machine.read(range.page(15)) == 0)
      #expect(try await machine.read(range.page(31)) == TestMachine.word(31))
      let bytes = try await child.load(range.page(30), count: 8)
      #expect(UInt64(littleEndianBytes: bytes) == TestMachine.word(30))
      await child.exit()
      machine.mm.splitDeferred()
    }
  }
}
