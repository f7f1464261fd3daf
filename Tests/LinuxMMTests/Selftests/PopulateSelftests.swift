import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/madv_populate.c.
@Suite struct PopulateSelftests {
  private static let pages = 8

  private func isPopulated(_ machine: TestMachine, _ range: VirtualRange) -> Set<Bool> {
    Set((0..<range.pages).map { machine.location(range, $0) != .none })
  }

  @Test("madv_populate: test_prot_read")
  func readable() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: Self.pages, .read, filled: false)
      try await machine.space.advise(range, .populateRead)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.advise(range, .populateWrite)
      }
    }
  }

  @Test("madv_populate: test_prot_write")
  func writable() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: Self.pages, .write, filled: false)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.advise(range, .populateRead)
      }
      try await machine.space.advise(range, .populateWrite)
      #expect(self.isPopulated(machine, range) == [true])
    }
  }

  @Test("madv_populate: test_holes")
  func holes() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      try await machine.space.unmap(range.subrange(1..<2))
      for part in [range, range.subrange(0..<2), range.subrange(1..<3)] {
        for advice in [Advice.populateRead, .populateWrite] {
          await expectThrows(KernelError.ENOMEM) { try await machine.space.advise(part, advice) }
        }
      }
    }
  }

  private func populate(_ advice: Advice) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: Self.pages, filled: false)
      #expect(self.isPopulated(machine, range) == [false])
      try await machine.space.advise(range, advice)
      #expect(self.isPopulated(machine, range) == [true])
    }
  }

  @Test("madv_populate: test_populate_read")
  func populateRead() throws { try populate(.populateRead) }

  @Test("madv_populate: test_populate_write")
  func populateWrite() throws { try populate(.populateWrite) }

  @Test("madv_populate: test_softdirty")
  func softDirty() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: Self.pages, filled: false)
      func softDirty() -> Set<Bool> {
        Set((0..<range.pages).map { machine.space.isSoftDirty(range.page($0)) })
      }
      await machine.space.clearSoftDirty()
      #expect(softDirty() == [false])
      try await machine.space.advise(range, .populateRead)
      #expect(softDirty() == [false])
      try await machine.space.advise(range, .populateWrite)
      #expect(softDirty() == [true])
    }
  }
}
