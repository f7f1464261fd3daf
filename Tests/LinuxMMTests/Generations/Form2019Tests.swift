import Base
import KernelRuntime
import LinuxMM
import Testing

/// The three calls of "mm: turn migrate_vma upside down", and what its reviewers said.
@Suite struct Form2019Tests {
  private func locked(
    _ machine: TestMachine, _ body: () async throws -> Void
  ) async throws {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    try await body()
  }

  /// Moves one chunk; the places that moved.
  private func step(_ machine: TestMachine, _ arguments: MigrateVMAArguments) async -> Int {
    for place in 0..<arguments.pages where arguments.sources[place].migrates {
      if machine.device.isOnDevice(arguments.sources[place].pfn) { continue }
      guard let new = machine.device.allocate() else { break }
      machine.device.fill(new, from: arguments.sources[place].pfn)
      arguments[destination: place] = .destination(new)
    }
    await arguments.commit()
    let moved = arguments.sources.count { $0.migrates }
    arguments.finalize()
    return moved
  }

  /// Ralph Campbell: "Since migrate_vma_setup() is called in a loop, either args.cpages and
  /// args.npages need to be cleared here or cleared in migrate_vma_setup()."
  @Test func N03_R7_setupInALoop_resetsCountsAndWords() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 8)
      let pinned = try await machine.space.pin(range.page(4), pages: 2, write: true)
      try await locked(machine) {
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range.subrange(0..<4), room: 4)
        try await arguments.setup()
        #expect(arguments.pages == 4 && arguments.collected == 4)
        #expect(await step(machine, arguments) == 4)
        arguments.start = range.page(4)
        arguments.end = range.page(6)
        try await arguments.setup()
        #expect(arguments.pages == 2 && arguments.collected == 0, "nothing of the chunk before")
        #expect(arguments.sources.allSatisfy { $0 == .empty })
        #expect((0..<4).allSatisfy { arguments[destination: $0] == .empty })
        // "if (!args.cpages) return": nothing is locked.
        arguments.start = range.page(6)
        arguments.end = range.page(8)
        try await arguments.setup()
        #expect(await step(machine, arguments) == 2)
      }
      machine.space.unpin(pinned)
      try await machine.expectPattern(range)
    }
  }

  /// The loop of the patch computes each chunk's end from the start of the range (`args.end = start
  /// + (c << PAGE_SHIFT)`): from the second turn on the end doesn't lie behind the start.
  @Test func N01_theLoopOfThePatch_movesOnlyTheFirstChunk() throws {
    let machine = try TestMachine(ramPages: 1024, devicePages: 512)
    try machine.run {
      let range = try await machine.map(pages: 259)
      try await locked(machine) {
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range, room: 128)
        var chunks: [KernelError?] = []
        for _ in stride(from: 0, to: range.pages, by: 128) {
          arguments.end = range.start + UInt64(128 << 12)
          do throws(KernelError) {
            try await arguments.setup()
            _ = await step(machine, arguments)
            chunks.append(nil)
          } catch {
            chunks.append(error)
          }
          arguments.start = arguments.end
        }
        #expect(chunks == [nil, .EINVAL, .EINVAL])
      }
      #expect((0..<259).count { machine.location(range, $0).isDevice } == 128)
      #expect(try await machine.device.migrate2019(machine.space, range) == 131)
      #expect((0..<259).allSatisfy { machine.location(range, $0).isDevice })
    }
  }

  /// `c = min(SG_MAX_SINGLE_ALLOC, npages)` never shrinks: with the end repaired alone, the last
  /// chunk passes the request, and takes neighbours or leaves the mapping.
  @Test func N02_aChunkThatNeverShrinks_movesNeighboursOrFails() throws {
    let machine = try TestMachine(ramPages: 1024, devicePages: 512)
    try machine.run {
      let range = try await machine.map(pages: 200)
      let asked = range.subrange(0..<150)
      try await locked(machine) {
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range, room: 128)
        arguments.start = asked.page(128)
        arguments.end = asked.page(128) + UInt64(128 << 12)
        await expectThrows(KernelError.EINVAL) { try await arguments.setup() }
      }
      #expect(try await machine.device.migrate2019(machine.space, asked) == 150)
      #expect((150..<200).allSatisfy { machine.location(range, $0).isRAM }, "nobody asked for them")
    }
  }

  @Test(arguments: [1, 127, 128, 129, 256, 259])
  func chunks_coverTheRange_andNothingElse(_ pages: Int) {
    let range = VirtualRange(start: VirtualAddress(0x10_0000), pages: pages)
    let chunks = range.chunks(of: 128)
    #expect(chunks.reduce(0) { $0 + $1.pages } == pages)
    #expect(chunks.allSatisfy { !$0.isEmpty && $0.pages <= 128 })
    #expect(chunks.first?.start == range.start && chunks.last?.end == range.end)
    for (a, b) in zip(chunks, chunks.dropFirst()) { #expect(a.end == b.start) }
  }

  /// The text counts pages before it rounds the ends, so that `start` 0x1fff to 0x3000 clears one
  /// word and collects two. Here such ends are refused, and the arrays stay as they were.
  @Test func L15_unalignedEnds_areRefusedBeforeAnythingIsCounted() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await locked(machine) {
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range, room: 1)
        arguments.start = range.start + 0xfff
        await expectThrows(KernelError.EINVAL) { try await arguments.setup() }
        #expect(arguments.pages == 0 && arguments.sources == [.empty])
      }
    }
  }

  /// "For empty entries ... we do set MIGRATE_PFN_MIGRATE ... Note that this can still fail and
  /// thus inside the device driver must check if the migration was successful for those entries".
  @Test func emptyPlaces_migrateWithoutAPage_andMayBeLostToAFault() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await locked(machine) {
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range, room: 2)
        try await arguments.setup()
        #expect(arguments.sources.map(\.rawValue) == [2, 2], "MIGRATE alone")
        await machine.kernel.spawn("store") {
          do { try await machine.fill(range, 1) } catch { Issue.record("\(error)") }
        }.join()
        #expect(await step(machine, arguments) == 1)
        #expect(arguments.sources.map(\.migrates) == [true, false])
      }
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
    }
  }

  /// Jérôme Glisse: "failing migration back to main memory is only a last resort event", when the
  /// device is beyond recovery. A driver that lacks memory for a moment asks for a retry instead.
  @Test func failingBack_isTheLastResort() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let device = machine.device
      try await device.take(machine.space, range)
      var tries = 0
      device.handler = { fault in
        let arguments = MigrateVMAArguments(
          fault.space, fault.space.find(fault.address),
          VirtualRange(start: fault.address, pages: 1), room: 1)
        arguments.faultPage = fault.page
        do throws(KernelError) {
          try await arguments.setup()
          guard let source = arguments.sources[0].pfn else { return .retry }
          tries += 1
          if tries > 2 {
            let page = try machine.mm.allocatePage()
            _ = machine.mm.tryLock(page)
            machine.mm.ram.copy(
              from: device.memory, at: device.offset(source), to: page.index << 12, length: 4096)
            arguments[destination: 0] = .destination(page)
          }
          await arguments.commit()
          let moved = arguments.sources[0].migrates
          arguments.finalize()
          return moved ? .done : .retry
        } catch {
          return .sigbus(error)
        }
      }
      try await machine.expectPattern(range)
      #expect(tries == 3)
      device.handler = nil
    }
  }

  /// R19: the arguments can't be reused before finalize.
  @Test func setupTwice_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        await machine.space.mmapLock.lockShared()
        let arguments = MigrateVMAArguments(
          machine.space, machine.space.find(range.start), range, room: 1)
        try await arguments.setup()
        try await arguments.setup()
      }
    }
  }
}
