import Base
import KernelRuntime
import LinuxMM
import Testing

/// Each operation on a range of which some pages are on the device, some in RAM, one in swap space,
/// one empty and one the zero page.
@Suite struct PartlyOnDeviceTests {
  enum Operation: String, CaseIterable, Sendable {
    case unmap, remap, remapDontUnmap, protect, protectNone, dontNeed, free, cold, pageOut, willNeed
    case populateRead, populateWrite, hugePage, noHugePage, collapse, lock, lockOnFault, unlock
    case fork, exec, clearSoftDirty, watchMissing, watchWrites, softOffline, pin, longPin, migrate
  }

  private static let pages = 10
  /// What the operation is about: all kinds, but not the first and the last page.
  private static let part = 1..<9
  private static let device = 2..<5
  private static let swapped = 5
  private static let empty = 6
  private static let zero = 7

  private func run(
    _ body: @escaping (TestMachine, VirtualRange) async throws -> Void
  ) throws {
    let machine = try TestMachine(ramPages: 1024, swapPages: 32)
    try machine.run {
      let range = try await machine.map(pages: Self.pages, filled: false)
      for page in 0..<Self.pages where page != Self.empty && page != Self.zero {
        try await machine.fill(range, page)
      }
      #expect(try await machine.read(range.page(Self.zero)) == 0)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range.subrange(Self.swapped..<Self.swapped + 1)) == 1)
      #expect(try await machine.device.take(machine.space, range.subrange(Self.device)) == 3)
      try await body(machine, range)
      try machine.check()
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  /// The word that a page of the range should have when the operation has not dropped it.
  private func word(_ page: Int) -> UInt64 {
    page == Self.empty || page == Self.zero ? 0 : TestMachine.word(page)
  }

  private func expectWords(
    _ machine: TestMachine, _ range: VirtualRange, dropped: Range<Int> = 0..<0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    for page in 0..<Self.pages {
      let expected = dropped.contains(page) ? 0 : word(page)
      #expect(
        try await machine.read(range.page(page)) == expected, "page \(page)",
        sourceLocation: sourceLocation)
    }
  }

  /// Advice, locks and the like change where pages are, and never what they hold.
  @Test(
    arguments: [
      Operation.cold, .pageOut, .willNeed, .populateRead, .populateWrite, .hugePage, .noHugePage,
      .lock, .lockOnFault, .unlock, .clearSoftDirty, .protect, .pin, .longPin, .migrate,
      .watchWrites,
    ])
  func bytesStay(_ operation: Operation) throws {
    try run { machine, range in
      try await self.change(machine, range.subrange(Self.part), operation)
      let stays: Set<Operation> = [
        .cold, .pageOut, .willNeed, .hugePage, .noHugePage, .lockOnFault, .unlock,
        .clearSoftDirty, .protect, .migrate, .watchWrites,
      ]
      for page in Self.device {
        let isThere = machine.location(range, page).isDevice
        #expect(isThere == stays.contains(operation), "page \(page)")
      }
      try await self.expectWords(machine, range)
    }
  }

  private func change(
    _ machine: TestMachine, _ part: VirtualRange, _ operation: Operation
  ) async throws {
    let space = machine.space
    switch operation {
    case .cold: try await space.advise(part, .cold)
    case .pageOut: try await space.advise(part, .pageOut)
    case .willNeed: try await space.advise(part, .willNeed)
    case .populateRead: try await space.advise(part, .populateRead)
    case .populateWrite: try await space.advise(part, .populateWrite)
    case .hugePage: try await space.adviseHuge(part, true)
    case .noHugePage: try await space.adviseHuge(part, false)
    case .lock: try await space.lockMemory(part)
    case .lockOnFault: try await space.lockMemory(part, onFault: true)
    case .unlock: try await space.unlockMemory(part)
    case .clearSoftDirty: await space.clearSoftDirty()
    case .protect:
      try await space.protect(part, .read)
      try await space.protect(part, .readWrite)
    case .pin, .longPin:
      let pinned = try await space.pinUserPages(
        part.start, pages: part.pages, operation == .pin ? [] : .longTerm)
      #expect(pinned.count == part.pages)
      machine.mm.unpin(pinned)
    case .migrate:
      // Its own pages stay as they are, and so does what is in swap space.
      #expect(try await machine.device.take(space, part) == 4)
    case .watchWrites:
      let watch = try space.openUserfault([.sigbus, .writeProtect])
      try await watch.register(part, .writeProtect)
      try await watch.protect(part, true)
      #expect(space.entry(at: part.page(1)).isUserfaultWriteProtected)
      await watch.close()
    default: Issue.record("\(operation) is no change of this kind")
    }
  }

  @Test func unmap_dropsAllOfIt() throws {
    try run { machine, range in
      try await machine.space.unmap(range.subrange(Self.part))
      #expect(machine.device.pagemap.references == 0 && machine.mm.usedSwapPages == 0)
      #expect(machine.space.counters.residentPages == 2)
      for page in [0, 9] { #expect(try await machine.read(range.page(page)) == self.word(page)) }
      await expectThrows(AccessError.segv(range.page(3), .mapErr)) {
        try await machine.read(range.page(3))
      }
    }
  }

  @Test(arguments: [Operation.dontNeed, .free])
  func discarding_dropsWhatItMay(_ operation: Operation) throws {
    try run { machine, range in
      let part = range.subrange(Self.part)
      try await machine.space.advise(part, operation == .free ? .free : .dontNeed)
      // A page on the device can't be freed lazily; it stays (as in Linux).
      #expect(machine.device.pagemap.references == (operation == .free ? 3 : 0))
      #expect(machine.mm.usedSwapPages == 0)
      if operation == .free {
        for page in Self.device {
          #expect(try await machine.read(range.page(page)) == self.word(page))
        }
        #expect(try await machine.read(range.page(Self.swapped)) == 0)
      } else {
        try await self.expectWords(machine, range, dropped: Self.part)
      }
    }
  }

  @Test(arguments: [Operation.remap, .remapDontUnmap])
  func remap_takesEveryKindAlong(_ operation: Operation) throws {
    try run { machine, range in
      let part = range.subrange(Self.part)
      let flags: RemapFlags = operation == .remap ? [.mayMove, .fixed] : [.mayMove, .dontUnmap]
      let target = operation == .remap ? VirtualAddress(0x4000_0000) : nil
      let place = try await machine.space.remap(
        part.start, oldBytes: part.bytes, newBytes: part.bytes, flags, to: target)
      let moved = VirtualRange(start: place, pages: part.pages)
      for page in Self.device { #expect(machine.location(moved, page - 1).isDevice) }
      #expect(machine.location(moved, Self.swapped - 1).isSwap)
      for page in Self.part {
        #expect(try await machine.read(moved.page(page - 1)) == self.word(page), "page \(page)")
      }
      if operation == .remapDontUnmap {
        try await self.expectWords(machine, range, dropped: Self.part)
      }
    }
  }

  @Test func protectNone_refusesEveryKind_andKeepsIt() throws {
    try run { machine, range in
      try await machine.space.protect(range.subrange(Self.part), .none)
      for page in Self.part {
        await expectThrows(AccessError.segv(range.page(page), .accErr)) {
          try await machine.read(range.page(page))
        }
      }
      #expect(machine.device.faults == 0 && machine.location(range, 3).isDevice)
      try await machine.space.protect(range, .readWrite)
      try await self.expectWords(machine, range)
    }
  }

  @Test func collapse_needsAllOfItInRAM() throws {
    let machine = try TestMachine.huge(ramPages: 2048, policy: .never)
    try machine.run {
      let range = try await machine.mapHuge(step: 3)
      try await machine.device.take(machine.space, range.subrange(6..<9))
      await expectThrows(KernelError.EINVAL) { try await machine.space.collapse(range) }
      #expect(machine.location(range, 6).isDevice)
      try await machine.device.evict()
      try await machine.space.collapse(range)
      #expect(machine.isHuge(range))
      try await machine.expectPattern(range, step: 3)
      // What is huge already stays so when no new ones are wanted.
      try await machine.space.adviseHuge(range, false)
      #expect(machine.isHuge(range))
    }
  }

  @Test func fork_givesTheChildEveryKind() throws {
    try run { machine, range in
      let child = try await machine.space.fork("child")
      for page in Self.device { #expect(child.entry(at: range.page(page)).location.isDevice) }
      for page in 0..<Self.pages {
        try await machine.write(range.page(page), 1)
        #expect(try await child.read(range.page(page)) == self.word(page), "page \(page)")
      }
      await child.exit()
    }
  }

  @Test func exec_givesEveryKindBack() throws {
    try run { machine, range in
      let new = try await machine.space.exec("next")
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.device.pagemap.references == 0 && machine.mm.usedSwapPages == 0)
      #expect(new.counters.residentPages == 0)
      await expectThrows(AccessError.segv(range.start, .mapErr)) { try await new.read(range.start) }
      await new.exit()
    }
  }

  @Test func aWatchOfMissingPages_asksForTheEmptyOneAlone() throws {
    try run { machine, range in
      try await machine.space.watchMissing(range.subrange(Self.part))
      await expectThrows(AccessError.sigbus(range.page(Self.empty), .EFAULT)) {
        try await machine.read(range.page(Self.empty))
      }
      for page in Self.part where page != Self.empty {
        #expect(try await machine.read(range.page(page)) == self.word(page), "page \(page)")
      }
    }
  }

  @Test func softOffline_isOfRAM() throws {
    try run { machine, range in
      let onDevice = try machine.frame(range, 3)
      await expectThrows(KernelError.ENXIO) { try await machine.mm.softOffline(onDevice) }
      let inRAM = try machine.frame(range, 1)
      try await machine.mm.softOffline(inRAM)
      #expect(try machine.frame(range, 1) != inRAM && machine.location(range, 3).isDevice)
      try await self.expectWords(machine, range)
    }
  }
}
