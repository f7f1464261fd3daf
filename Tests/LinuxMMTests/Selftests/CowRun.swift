import Base
import KernelRuntime
import LinuxMM
import Testing

/// What kind of private memory a case of `cow.c` runs on.
enum CowRun: String, CaseIterable, CustomTestStringConvertible {
  case base = "base page"
  case swappedBase = "swapped out base page"
  case huge = "THP"
  case swappedHuge = "swapped-out THP"
  case parts = "PTE-mapped THP"
  case swappedParts = "swapped-out, PTE-mapped THP"
  case single = "single PTE of THP"
  case swappedSingle = "single PTE of swapped-out THP"
  case moved = "partially mremap()'ed THP"
  case partlyShared = "partially shared THP"
  case hugetlb = "hugetlb"

  var testDescription: String { rawValue }

  private var isSwapped: Bool {
    switch self {
    case .swappedBase, .swappedHuge, .swappedParts, .swappedSingle: true
    default: false
    }
  }

  /// Plays a case on a range of this kind, in which the pages of ``sample(_:)`` have the pattern.
  func play(_ body: @escaping (TestMachine, VirtualRange) async throws -> Void) throws {
    let machine: TestMachine
    switch self {
    case .base, .swappedBase: machine = try TestMachine(swapPages: 4)
    case .hugetlb: machine = try TestMachine(ramPages: 4096)
    default: machine = try TestMachine.huge(swapPages: 1100)
    }
    try machine.run(rawValue) {
      let range = try await self.prepare(machine)
      if self.isSwapped {
        await machine.mm.drainLRUOfAllCPUs()
        try await machine.space.swapOut(range)
        for page in 0..<range.pages { try #require(machine.location(range, page).isSwap) }
      }
      try await body(machine, range)
      await machine.mm.drainLRUOfAllCPUs()
      if self == .hugetlb {
        try await machine.space.unmap(range)
        #expect(machine.mm.setHugetlbPages(0) == 0)
      }
    }
  }

  /// Two pages, of which the mapping has one.
  private func prepareHugetlb(_ machine: TestMachine) async throws -> VirtualRange {
    try #require(machine.mm.setHugetlbPages(2) == 2)
    let start = try await machine.space.mapHugetlb(bytes: UInt64(PageSize.hugeBytes), .readWrite)
    let range = VirtualRange(start: start, pages: HugePage.pages)
    for page in Self.sample(range) { try await machine.fill(range, page) }
    return range
  }

  private func prepare(_ machine: TestMachine) async throws -> VirtualRange {
    if self == .base || self == .swappedBase { return try await machine.map(pages: 1) }
    if self == .hugetlb { return try await prepareHugetlb(machine) }
    let space = machine.space
    let range = try await machine.mapHuge(filled: false)
    for page in Self.sample(range) { try await machine.fill(range, page) }
    try #require(machine.isHuge(range))
    let rest = range.subrange(1..<range.pages)
    switch self {
    case .base, .swappedBase, .huge, .swappedHuge, .hugetlb:
      return range
    case .parts, .swappedParts:
      try await space.protect(range.subrange(1..<2), .read)
      try await space.protect(range.subrange(1..<2), .readWrite)
    case .single, .swappedSingle:
      try await space.discard(rest)
      return range.subrange(0..<1)
    case .moved:
      let half = range.pages / 2
      let other = try await space.map(bytes: UInt64(half) << 12, .none)
      try await space.remap(
        range.page(half), oldBytes: UInt64(half) << 12, newBytes: UInt64(half) << 12,
        [.mayMove, .fixed], to: other)
      return range.subrange(0..<half)
    case .partlyShared:
      try await space.advise(rest, .dontFork)
      await (try await space.fork("short-lived")).exit()
      try await space.advise(rest, .doFork)
    }
    try #require(!machine.isHuge(range))
    return range
  }

  /// The pages of a range that a case writes and looks at.
  static func sample(_ range: VirtualRange) -> [Int] {
    Array(stride(from: 0, to: range.pages, by: 85)) + (range.pages > 1 ? [range.pages - 1] : [])
  }
}
