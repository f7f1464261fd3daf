import Base
import KernelRuntime
import LinuxMM
import Testing

/// What every generation of the API refuses, by the kernel's name for it, with nothing changed.
@Suite struct BadArgumentTests {
  typealias Form = FormsTests.Form

  enum Bad: String, CaseIterable, Sendable {
    case unalignedStart, unalignedEnd, empty, reversed, before, beyond, nowhere, twoMappings
    case special, pfnMap, mixedMap, hugetlb, sharedHugetlb, dax, tooSmallArrays
  }

  /// All that a call could change and that can be looked at from outside.
  private struct Picture: Equatable {
    let entries: [PageTableEntry]
    let counters: AddressSpaceCounters
    let machine: MachineCounters
    let free: Int
    let tables: Int
    let devicePages: Int
    let references: [Int]

    init(_ machine: TestMachine, _ ranges: [VirtualRange]) {
      let space = machine.space
      entries = ranges.flatMap { range in
        (0..<range.pages).map { space.entry(at: range.page($0)) }
      }
      counters = space.counters
      self.machine = machine.mm.counters
      free = machine.mm.freeSystemPages
      tables = machine.mm.pageTables
      devicePages = machine.device.free.count
      references = entries.compactMap { entry in
        guard case .ram(let page) = entry.location else { return nil }
        return machine.mm.referenceCount(page)
      }
    }
  }

  /// A mapping of four pages of a kind that migration refuses; every page is there where it can be.
  private func map(
    _ bad: Bad, _ machine: TestMachine
  ) async throws -> (range: VirtualRange?, file: MappedFile?) {
    let space = machine.space
    let bytes: UInt64 = 4 << 12
    let start: VirtualAddress
    var file: MappedFile?
    switch bad {
    case .special: start = try await space.map(bytes: bytes, .readWrite, flags: .special)
    case .pfnMap:
      start = try await space.map(bytes: bytes, .readWrite, flags: [.special, .pfnMap])
    case .mixedMap:
      start = try await space.map(bytes: bytes, .readWrite, flags: [.special, .mixedMap])
    case .hugetlb, .sharedHugetlb:
      #expect(machine.mm.setHugetlbPages(1) == 1)
      start = try await space.mapHugetlb(
        bytes: UInt64(PageSize.hugeBytes), .readWrite, shared: bad == .sharedHugetlb)
      try await space.write(start, 5)
    case .dax:
      let made = try machine.mm.createFile("f", bytes: bytes, isDAX: true)
      start = try await space.map(made, bytes: bytes, .readWrite, shared: true)
      try await space.write(start, 5)
      file = made
    default:
      return (nil, nil)
    }
    return (VirtualRange(start: start, pages: 4), file)
  }

  @Test(arguments: Form.allCases, Bad.allCases)
  func areEINVAL_andChangeNothing(_ form: Form, _ bad: Bad) throws {
    let isHugetlb = bad == .hugetlb || bad == .sharedHugetlb
    let machine = try TestMachine(ramPages: isHugetlb ? 2048 : 256, traced: true)
    try machine.run {
      let range = try await machine.map(pages: 4)
      let (other, file) = try await self.map(bad, machine)
      var start = range.start
      var end = range.end
      var room = 8
      switch bad {
      case .unalignedStart: start = start + 1
      case .unalignedEnd: end = end - 1
      case .empty: end = start
      case .reversed: (start, end) = (end - 4096, start)
      case .before: start = start - 4096
      case .beyond: end = end + 4096
      case .nowhere: (start, end) = (VirtualAddress(0x5000), VirtualAddress(0x6000))
      case .twoMappings: try await machine.space.protect(range.subrange(2..<4), .read)
      case .tooSmallArrays: room = 3
      default: (start, end) = (other?.start ?? start, other?.end ?? end)
      }
      // 2017 rounds the ends down and goes on.
      if form == .callbacks2017 && (bad == .unalignedStart || bad == .unalignedEnd) {
        let error = await FormsTests.attempt(form, machine, start, end, room: room)
        #expect(error == nil)
        return try await machine.expectPattern(range)
      }
      await machine.mm.drainLRUOfAllCPUs()
      let ranges = [range] + (other.map { [$0] } ?? [])
      let before = Picture(machine, ranges)
      let trace = machine.kernel.trace.text().count
      let error = await FormsTests.attempt(form, machine, start, end, room: room)
      #expect(error == .EINVAL)
      let news = String(machine.kernel.trace.text().dropFirst(trace))
      #expect(!news.contains("migrate") && !news.contains("invalidate"), "\(news)")
      #expect(Picture(machine, ranges) == before)
      try machine.check()
      try await machine.expectPattern(range)
      if isHugetlb || bad == .dax { #expect(try await machine.read(start) == 5) }
      await machine.space.exit()
      try await file?.evict()
      await machine.mm.drainLRUOfAllCPUs()
      if isHugetlb { #expect(machine.mm.setHugetlbPages(0) == 0) }
    }
  }

  enum File: String, CaseIterable, Sendable {
    case shared, privateUntouched, sharedAnonymous
  }

  /// R22: pages of files and of shared memory are looked at, and stay. No error, no other change.
  @Test(arguments: Form.allCases, File.allCases)
  func filePages_stay(_ form: Form, _ kind: File) throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let bytes: UInt64 = 4 << 12
      let start: VirtualAddress
      var file: MappedFile?
      if kind == .sharedAnonymous {
        start = try await space.map(bytes: bytes, .readWrite, flags: [.anonymous, .shared])
      } else {
        let made = try machine.mm.createFile("f", bytes: bytes)
        for page in 0..<4 as Range<UInt64> {
          try await made.write(page << 12, TestMachine.word(Int(page)).bytes)
        }
        start = try await space.map(made, bytes: bytes, .readWrite, shared: kind == .shared)
        file = made
      }
      let range = VirtualRange(start: start, pages: 4)
      for page in 0..<4 {
        if kind == .privateUntouched {
          _ = try await machine.read(range.page(page))
        } else {
          try await machine.fill(range, page)
        }
      }
      await machine.mm.drainLRUOfAllCPUs()
      let frames = (0..<4).map { machine.location(range, $0) }
      let counters = space.counters
      // A form that faults for writing asks for a copy of its own first, which may go.
      let copies = form == .unified2025 && kind == .privateUntouched
      #expect(try await FormsTests.migrate(form, machine, range) == (copies ? 4 : 0))
      if !copies {
        #expect((0..<4).map { machine.location(range, $0) } == frames)
        #expect(space.counters.filePages == counters.filePages)
        #expect(space.counters.sharedMemoryPages == counters.sharedMemoryPages)
        #expect(machine.device.free.count == 128)
      }
      try await machine.expectPattern(range)
      try await space.unmap(range)
      try await file?.evict()
    }
  }

  /// The first form takes the mapping as an argument of its own.
  @Test func mappingOfAnotherPlace_isEINVAL() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let other = try await machine.map(pages: 2, name: "other")
      let space = machine.space
      for vma in [nil, space.find(other.start)] {
        var sources = [FirstMigratePFN](repeating: .empty, count: 2)
        var destinations = sources
        var calls = 0
        let operations = MigrateVMAOperations<Int>(
          allocateAndCopy: { _, _, _, _, calls in calls += 1 },
          finalizeAndMap: { _, _, _, _, calls in calls += 1 })
        await space.mmapLock.lockShared()
        await expectThrows(KernelError.EINVAL) {
          try await space.migrateVMA(
            operations, vma, start: range.start, end: range.end, sources: &sources,
            destinations: &destinations, private: &calls)
        }
        space.mmapLock.unlockShared()
        #expect(calls == 0)
      }
      try await machine.expectPattern(range)
    }
  }

  /// The walk of 2025 has errors of its own for what a plain lookup refuses too.
  @Test func unifiedWalk_hasTheErrorsOfALookup() throws {
    let machine = try TestMachine(traced: true)
    try machine.run {
      let space = machine.space
      let range = try await machine.map(pages: 2)
      let readOnly = try await machine.map(pages: 2, .read, filled: false, name: "read")
      let closed = try await machine.map(pages: 2, .none, filled: false, name: "closed")
      func attempt(_ part: VirtualRange, _ faults: UnifiedFault) async throws -> KernelError? {
        let mirror = try space.insertNotifier(.user, OwnersMirror(nil))
        var lookup = UnifiedRange(
          notifier: mirror, sequence: await mirror.readBegin(), range: part, owner: nil,
          faults: faults)
        await space.mmapLock.lockShared()
        var met: KernelError?
        do throws(KernelError) {
          let prepared = try await space.hmmRangeFault(&lookup, MigrationBuffers(pages: 8))
          await prepared.cancel()
        } catch {
          met = error
        }
        space.mmapLock.unlockShared()
        await mirror.remove()
        return met
      }
      let before = Picture(machine, [range, readOnly, closed])
      #expect(try await attempt(VirtualRange(range.start, range.end + 4096), []) == .ERANGE)
      #expect(try await attempt(VirtualRange(range.start, range.start), []) == .EINVAL)
      #expect(try await attempt(readOnly, .write) == .EPERM)
      #expect(try await attempt(closed, .missing) == .EFAULT)
      #expect(Picture(machine, [range, readOnly, closed]) == before)
      try await machine.expectPattern(range)
    }
  }

  @Test func invalidatedRange_saysSoForEachPage() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let range = try await machine.map(pages: 3)
      let mirror = try space.insertNotifier(range, OwnersMirror(machine.device.owner))
      let buffers = MigrationBuffers(pages: 3, explains: true)
      var lookup = UnifiedRange(
        notifier: mirror, sequence: await mirror.readBegin(), range: range,
        owner: machine.device.owner, faults: [])
      try await space.discard(range.subrange(0..<1))
      await space.mmapLock.lockShared()
      await expectThrows(KernelError.EBUSY) {
        await (try await space.hmmRangeFault(&lookup, buffers)).cancel()
      }
      #expect((0..<3).allSatisfy { buffers.reason($0)?.kind == .notifierRetry })
      lookup.sequence = await mirror.readBegin()
      machine.kernel.failures.arm(.hmmRetry, .nth(1))
      await expectThrows(KernelError.EBUSY) {
        await (try await space.hmmRangeFault(&lookup, buffers)).cancel()
      }
      machine.kernel.failures.disarm()
      #expect(
        buffers.reason(2)?.description == "the range was invalidated meanwhile (mm.hmm_retry)")
      // The mirror's own check comes after the walk: the driver says why it gives up.
      lookup.sequence = await mirror.readBegin()
      let prepared = try await space.hmmRangeFault(&lookup, buffers)
      await prepared.cancel(because: MigrationReason(.notifierRetry))
      #expect(buffers.reason(1)?.kind == .notifierRetry)
      space.mmapLock.unlockShared()
      await mirror.remove()
    }
  }
}
