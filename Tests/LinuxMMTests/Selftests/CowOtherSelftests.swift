import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/cow.c, the cases of private mappings whose pages are not
/// anonymous: the zero page, shared memory (memfd), files (tmpfile), files of huge pages.
@Suite struct CowOtherSelftests {
  private enum Backing { case zeroPage, memfd, file }

  /// A private mapping of one page that reads as zeroes, and what else shows the same page.
  private func map(
    _ machine: TestMachine, _ backing: Backing
  ) async throws -> (private: VirtualRange, other: VirtualRange, MappedFile?) {
    let space = machine.space
    let mine: VirtualAddress
    let other: VirtualAddress
    var file: MappedFile?
    if backing == .zeroPage {
      mine = try await space.map(bytes: 4096, .readWrite, name: "mine")
      other = try await space.map(bytes: 4096, .read, name: "other")
    } else {
      let made = try machine.mm.createFile(
        "f", bytes: 4096, kind: backing == .memfd ? .sharedMemory : .regular)
      mine = try await space.map(made, bytes: 4096, .readWrite, shared: false)
      other = try await space.map(made, bytes: 4096, .read, shared: true)
      file = made
    }
    for address in [mine, other] { #expect(try await machine.read(address) == 0) }
    #expect(space.entry(at: mine).location == space.entry(at: other).location)
    return (
      VirtualRange(start: mine, pages: 1), VirtualRange(start: other, pages: 1), file
    )
  }

  /// The same of a file that has one huge page.
  private func playHugetlb(pin: Bool, fast: Bool = false) throws {
    let machine = try TestMachine(ramPages: 4096)
    try machine.run {
      let space = machine.space
      let size = UInt64(PageSize.hugeBytes)
      try #require(machine.mm.setHugetlbPages(2) == 2)
      let file = try machine.mm.createHugetlbFile("f", bytes: size)
      try file.allocate()
      let mine = try await space.mapHugetlb(file, bytes: size, .readWrite)
      let other = try await space.mapHugetlb(file, bytes: size, .read, shared: true)
      for address in [mine, other] { #expect(try await machine.read(address) == 0) }
      #expect(space.entry(at: mine).location == space.entry(at: other).location)
      var pinned: UserPages?
      if pin {
        pinned =
          fast
          ? try await space.pinUserPagesFast(mine, pages: HugePage.pages, .longTerm)
          : try await space.pinUserPages(mine, pages: HugePage.pages, .longTerm)
        #expect(pinned?.count == HugePage.pages)
      }
      try await machine.write(mine, 7)
      #expect(try await machine.read(other) == 0)
      if let pinned {
        #expect(machine.mm.ram.load(UInt64.self, at: pinned.pfns[0].index << 12) == 7)
        machine.mm.unpin(pinned)
      }
      for start in [mine, other] {
        try await space.unmap(VirtualRange(start: start, pages: HugePage.pages))
      }
      try file.evict()
      #expect(machine.mm.setHugetlbPages(0) == 0)
    }
  }

  private func play(_ backing: Backing, pin: Bool, fast: Bool = false) throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let (mine, other, file) = try await self.map(machine, backing)
      var pinned: UserPages?
      if pin {
        pinned =
          fast
          ? try await space.pinUserPagesFast(mine.start, pages: 1, .longTerm)
          : try await space.pinUserPages(mine.start, pages: 1, .longTerm)
      }
      try await machine.write(mine.start, 7)
      #expect(try await machine.read(other.start) == 0)
      if let pinned {
        #expect(machine.mm.ram.load(UInt64.self, at: pinned.pfns[0].index << 12) == 7)
        machine.mm.unpin(pinned)
      }
      try await space.unmap(mine)
      try await space.unmap(other)
      try await file?.evict()
    }
  }

  @Test("cow: Basic COW with shared zeropage")
  func zeroPage() throws { try play(.zeroPage, pin: false) }

  @Test("cow: Basic COW with memfd")
  func memfd() throws { try play(.memfd, pin: false) }

  @Test("cow: Basic COW with tmpfile")
  func tmpfile() throws { try play(.file, pin: false) }

  @Test("cow: R/O longterm GUP pin with shared zeropage")
  func pinZeroPage() throws { try play(.zeroPage, pin: true) }

  @Test("cow: R/O longterm GUP pin with memfd")
  func pinMemfd() throws { try play(.memfd, pin: true) }

  @Test("cow: R/O longterm GUP pin with tmpfile")
  func pinTmpfile() throws { try play(.file, pin: true) }

  @Test("cow: R/O longterm GUP-fast pin with shared zeropage")
  func fastPinZeroPage() throws { try play(.zeroPage, pin: true, fast: true) }

  @Test("cow: R/O longterm GUP-fast pin with memfd")
  func fastPinMemfd() throws { try play(.memfd, pin: true, fast: true) }

  @Test("cow: R/O longterm GUP-fast pin with tmpfile")
  func fastPinTmpfile() throws { try play(.file, pin: true, fast: true) }

  @Test("cow: Basic COW with memfd hugetlb")
  func memfdHugetlb() throws { try playHugetlb(pin: false) }

  @Test("cow: R/O longterm GUP pin with memfd hugetlb")
  func pinMemfdHugetlb() throws { try playHugetlb(pin: true) }

  @Test("cow: R/O longterm GUP-fast pin with memfd hugetlb")
  func fastPinMemfdHugetlb() throws { try playHugetlb(pin: true, fast: true) }
}
