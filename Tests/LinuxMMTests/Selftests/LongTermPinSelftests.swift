import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/gup_longterm.c: long-term pins of pages of files, on file
/// systems that write back (a local file) and on those that don't (memfd, tmpfs and hugetlbfs).
@Suite struct LongTermPinSelftests {
  enum FileRun: String, CaseIterable, CustomTestStringConvertible {
    case memfd
    case tmpfile
    case local = "local tmpfile"
    case hugetlb = "memfd hugetlb"

    var testDescription: String { rawValue }
    var kind: MappedFile.Kind { self == .local ? .regular : .sharedMemory }
  }

  /// A mapping of a file that has its page, and what frees the file.
  private func map(
    _ run: FileRun, _ machine: TestMachine, shared: Bool
  ) async throws -> (VirtualRange, evict: () async throws -> Void) {
    let space = machine.space
    guard run == .hugetlb else {
      let file = try machine.mm.createFile("f", bytes: 4096, kind: run.kind)
      let start = try await space.map(file, bytes: 4096, .readWrite, shared: shared)
      return (VirtualRange(start: start, pages: 1), { try await file.evict() })
    }
    let size = UInt64(PageSize.hugeBytes)
    try #require(machine.mm.setHugetlbPages(2) == 2)
    let file = try machine.mm.createHugetlbFile("f", bytes: size)
    try file.allocate()
    let start = try await space.mapHugetlb(file, bytes: size, .readWrite, shared: shared)
    return (
      VirtualRange(start: start, pages: HugePage.pages),
      {
        try file.evict()
        #expect(machine.mm.setHugetlbPages(0) == 0)
      }
    )
  }

  private func pin(_ run: FileRun, write: Bool, fast: Bool, shared: Bool) throws {
    let machine = try TestMachine(ramPages: run == .hugetlb ? 4096 : 256)
    try machine.run(run.rawValue) {
      let space = machine.space
      let (range, evict) = try await self.map(run, machine, shared: shared)
      try await machine.fill(range, 0)
      if !write { try await space.protect(range, .read) }
      let flags: UserPageFlags = write ? [.longTerm, .write] : .longTerm
      var pinned: UserPages?
      var failure: KernelError?
      do throws(KernelError) {
        pinned =
          fast
          ? try await space.pinUserPagesFast(range.start, pages: range.pages, flags)
          : try await space.pinUserPages(range.start, pages: range.pages, flags)
      } catch {
        failure = error
      }
      // Write-back could not take the right to write away any more.
      let shouldWork = !shared || !write || run != .local
      #expect(failure == (shouldWork ? nil : .EFAULT))
      if let pinned {
        #expect(pinned.count == range.pages)
        #expect(
          machine.mm.ram.load(UInt64.self, at: pinned.pfns[0].index << 12) == TestMachine.word(0))
        machine.mm.unpin(pinned)
      }
      try await space.unmap(range)
      try await evict()
    }
  }

  @Test(
    "gup_longterm: R/W longterm GUP pin in MAP_SHARED file mapping", arguments: FileRun.allCases)
  func writeShared(_ run: FileRun) throws {
    try pin(run, write: true, fast: false, shared: true)
  }

  @Test(
    "gup_longterm: R/W longterm GUP-fast pin in MAP_SHARED file mapping",
    arguments: FileRun.allCases)
  func writeSharedFast(_ run: FileRun) throws {
    try pin(run, write: true, fast: true, shared: true)
  }

  @Test(
    "gup_longterm: R/O longterm GUP pin in MAP_SHARED file mapping", arguments: FileRun.allCases)
  func readShared(_ run: FileRun) throws {
    try pin(run, write: false, fast: false, shared: true)
  }

  @Test(
    "gup_longterm: R/O longterm GUP-fast pin in MAP_SHARED file mapping",
    arguments: FileRun.allCases)
  func readSharedFast(_ run: FileRun) throws {
    try pin(run, write: false, fast: true, shared: true)
  }

  @Test(
    "gup_longterm: R/W longterm GUP pin in MAP_PRIVATE file mapping", arguments: FileRun.allCases)
  func writePrivate(_ run: FileRun) throws {
    try pin(run, write: true, fast: false, shared: false)
  }

  @Test(
    "gup_longterm: R/W longterm GUP-fast pin in MAP_PRIVATE file mapping",
    arguments: FileRun.allCases)
  func writePrivateFast(_ run: FileRun) throws {
    try pin(run, write: true, fast: true, shared: false)
  }

  @Test(
    "gup_longterm: R/O longterm GUP pin in MAP_PRIVATE file mapping", arguments: FileRun.allCases)
  func readPrivate(_ run: FileRun) throws {
    try pin(run, write: false, fast: false, shared: false)
  }

  @Test(
    "gup_longterm: R/O longterm GUP-fast pin in MAP_PRIVATE file mapping",
    arguments: FileRun.allCases)
  func readPrivateFast(_ run: FileRun) throws {
    try pin(run, write: false, fast: true, shared: false)
  }
}
