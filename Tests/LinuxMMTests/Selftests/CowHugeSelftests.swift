import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/cow.c: huge pages that are made whole again and the huge
/// zero page.
@Suite struct CowHugeSelftests {
  /// Which part of the huge page parent and child share when it is made whole.
  private enum Sharing { case none, all, lower, upper }

  private func collapse(_ sharing: Sharing) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let space = machine.space
      let range = try await machine.mapHuge(step: 8)
      let half = range.pages / 2
      try await space.protect(range.subrange(1..<2), .read)
      try await space.protect(range.subrange(1..<2), .readWrite)
      try #require(!machine.isHuge(range))
      var shared = range
      switch sharing {
      case .none: try await space.collapse(range)
      case .all: break
      case .lower:
        shared = range.subrange(0..<half)
        try await space.advise(range.subrange(half..<range.pages), .dontFork)
      case .upper:
        shared = range.subrange(half..<range.pages)
        try await space.advise(range.subrange(0..<half), .dontFork)
      }
      let child = try await space.fork("child")
      if sharing != .none {
        try await space.advise(range, .doFork)
        try await space.collapse(range)
      }
      #expect(machine.isHuge(range))
      for page in stride(from: 0, to: range.pages, by: 8) {
        try await machine.write(range.page(page), 0xff)
      }
      let first = Int((shared.start.rawValue - range.start.rawValue) >> 12)
      for page in stride(from: first, to: first + shared.pages, by: 8) {
        #expect(try await child.read(range.page(page)) == TestMachine.word(page), "page \(page)")
      }
      await child.exit()
    }
  }

  @Test("cow: Basic COW after fork() when collapsing before fork()")
  func collapseBefore() throws { try collapse(.none) }

  @Test("cow: Basic COW after fork() when collapsing after fork() (fully shared)")
  func collapseShared() throws { try collapse(.all) }

  @Test("cow: Basic COW after fork() when collapsing after fork() (lower shared)")
  func collapseLower() throws { try collapse(.lower) }

  @Test("cow: Basic COW after fork() when collapsing after fork() (upper shared)")
  func collapseUpper() throws { try collapse(.upper) }

  /// A private mapping that reads as the huge zero page; a write must not reach another's.
  private func hugeZero(pin: Bool, fast: Bool = false) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let space = machine.space
      let mine = try await machine.mapHuge(filled: false)
      let other = try await machine.mapHuge(filled: false)
      for range in [mine, other] {
        #expect(try await machine.read(range.start) == 0)
        try #require(machine.isHuge(range))
      }
      var pinned: UserPages?
      if pin {
        pinned =
          fast
          ? try await space.pinUserPagesFast(mine.start, pages: 8, .longTerm)
          : try await space.pinUserPages(mine.start, pages: 8, .longTerm)
      }
      for page in 0..<8 { try await machine.write(mine.page(page), 7) }
      for page in 0..<8 { #expect(try await machine.read(other.page(page)) == 0) }
      if let pinned {
        for pfn in pinned.pfns {
          #expect(machine.mm.ram.load(UInt64.self, at: pfn.index << 12) == 7)
        }
        machine.mm.unpin(pinned)
      }
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test("cow: Basic COW with huge zeropage")
  func hugeZeroPage() throws { try hugeZero(pin: false) }

  @Test("cow: R/O longterm GUP pin with huge zeropage")
  func pinHugeZeroPage() throws { try hugeZero(pin: true) }

  @Test("cow: R/O longterm GUP-fast pin with huge zeropage")
  func fastPinHugeZeroPage() throws { try hugeZero(pin: true, fast: true) }
}
