import Base
import KernelRuntime
import LinuxMM
import Testing

/// Private and shared mappings of files, and shared anonymous memory.
@Suite struct FileMappingTests {
  /// A file of whole pages, each beginning with its word, on the disk alone.
  static func file(_ machine: TestMachine, pages: Int) async throws -> MappedFile {
    let file = try machine.mm.createFile("f", bytes: UInt64(pages) << 12)
    for page in 0..<pages {
      try await file.write(UInt64(page) << 12, TestMachine.word(page).bytes)
    }
    try await file.writeBack()
    await machine.mm.drainLRUOfAllCPUs()
    #expect(file.dropCleanPages() == pages)
    return file
  }

  static func map(
    _ space: AddressSpace, _ file: MappedFile, pages: Int, _ protection: Protection = .readWrite,
    shared: Bool, offset: UInt64 = 0
  ) async throws -> VirtualRange {
    let start = try await space.map(
      file, offset: offset, bytes: UInt64(pages) << 12, protection, shared: shared)
    return VirtualRange(start: start, pages: pages)
  }

  static func end(_ machine: TestMachine, _ file: MappedFile) async throws {
    await machine.space.exit()
    try await file.evict()
    await machine.mm.drainLRUOfAllCPUs()
    #expect(machine.mm.freeSystemPages == machine.mm.systemPages - 1)
  }

  @Test func reads_mapTheCachedPage_forAllProcesses() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 4)
      let other = try machine.mm.createAddressSpace("other")
      let mine = try await Self.map(machine.space, file, pages: 4, shared: false)
      let theirs = try await Self.map(other, file, pages: 2, shared: true, offset: 8192)
      try await machine.expectPattern(mine)
      #expect(try await other.read(theirs.page(1)) == TestMachine.word(3))
      let pfn = try #require(file.cachedPage(3))
      #expect(machine.location(mine, 3) == .ram(pfn))
      #expect(other.entry(at: theirs.page(1)).location == .ram(pfn))
      #expect(machine.mm.mapCount(pfn) == 2)
      #expect(machine.space.counters.filePages == 4 && machine.space.counters.residentPages == 0)
      #expect(machine.mm.isOnLRU(pfn) || machine.mm.referenceCount(pfn) == 4)
      try machine.check()
      await other.exit()
      try await Self.end(machine, file)
    }
  }

  @Test func privateWrites_makeCopies_andTheFileStays() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 3)
      let range = try await Self.map(machine.space, file, pages: 3, shared: false)
      // One written at once, one after it was read.
      try await machine.write(range.page(0), 1)
      _ = try await machine.read(range.page(1))
      try await machine.write(range.page(1), 2)
      #expect(machine.space.counters.residentPages == 2 && machine.space.counters.filePages == 0)
      #expect(machine.space.counters.copiesOnWrite == 1)
      #expect(try await file.read(0, count: 8) == TestMachine.word(0).bytes)
      #expect(try await file.read(4096, count: 8) == TestMachine.word(1).bytes)
      // What another writes to the file shows where there is no copy.
      try await file.write(8192, UInt64(3).bytes)
      #expect(try await machine.read(range.page(2)) == 3)
      // A discarded copy lets the file show again.
      try await machine.space.discard(range)
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      try machine.check()
      try await Self.end(machine, file)
    }
  }

  @Test func sharedWrites_reachTheDisk_andAreNoticedAgainAfterwards() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 2)
      let range = try await Self.map(machine.space, file, pages: 2, shared: true)
      _ = try await machine.read(range.page(0))
      #expect(!machine.space.entry(at: range.page(0)).isWritable)
      try await machine.write(range.page(0), 5)
      #expect(file.stored(0, count: 8) == TestMachine.word(0).bytes)
      #expect(try await file.read(0, count: 8) == UInt64(5).bytes)
      try await file.writeBack()
      #expect(file.stored(0, count: 8) == UInt64(5).bytes)
      #expect(!machine.space.entry(at: range.page(0)).isWritable)
      try await machine.write(range.page(0), 6)
      machine.kernel.failures.arm(.fileWrite, .nth(1))
      await expectThrows(KernelError.EIO) { try await file.writeBack() }
      machine.kernel.failures.disarm()
      // The refused page is still dirty: a second try writes it.
      try await file.writeBack()
      #expect(file.stored(0, count: 8) == UInt64(6).bytes)
      try await Self.end(machine, file)
    }
  }

  @Test func beyondTheEnd_andADeadDisk_areSIGBUS() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 2)
      try await file.truncate(to: 4100)
      let range = try await Self.map(machine.space, file, pages: 4, shared: true)
      #expect(try await machine.read(range.page(1)) != 0)
      await expectThrows(AccessError.sigbus(range.page(2), .EINVAL)) {
        try await machine.read(range.page(2))
      }
      machine.kernel.failures.arm(.fileRead, .nth(1))
      await expectThrows(AccessError.sigbus(range.page(0), .EIO)) {
        try await machine.read(range.page(0))
      }
      machine.kernel.failures.disarm()
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      try await file.truncate(to: 16384)
      #expect(try await machine.read(range.page(3)) == 0)
      try await Self.end(machine, file)
    }
  }

  @Test func truncation_takesPrivateCopiesToo_aHoleLeavesThem() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 4)
      let mine = try await Self.map(machine.space, file, pages: 4, shared: false)
      let shared = try await Self.map(machine.space, file, pages: 4, shared: true)
      for page in 0..<4 { try await machine.write(shared.page(page), UInt64(page + 10)) }
      try await machine.write(mine.page(1), 21)
      try await machine.write(mine.page(3), 23)
      _ = try await machine.read(mine.page(0))
      try await file.punchHole(0..<8192)
      #expect(try await machine.read(shared.page(0)) == 0)
      #expect(try await machine.read(mine.page(0)) == 0)
      #expect(try await machine.read(mine.page(1)) == 21)
      try machine.check()
      try await file.truncate(to: 8192 + 4)
      #expect(try await machine.read(shared.page(2)) == 12)
      for range in [mine, shared] {
        await expectThrows(AccessError.sigbus(range.page(3), .EINVAL)) {
          try await machine.read(range.page(3))
        }
      }
      #expect(file.cachedPages == 2)
      try machine.check()
      try await Self.end(machine, file)
    }
  }

  @Test func truncationInsideAPage_clearsTheRest() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 1)
      try await file.write(0, [UInt8](repeating: 7, count: 4096))
      try await file.punchHole(10..<12)
      try await file.truncate(to: 100)
      try await file.truncate(to: 4096)
      let bytes = try await file.read(0, count: 4096)
      #expect(bytes[..<10].allSatisfy { $0 == 7 } && bytes[10] == 0 && bytes[12] == 7)
      #expect(bytes[99] == 7 && bytes[100...].allSatisfy { $0 == 0 })
      try await Self.end(machine, file)
    }
  }

  @Test func sharedAnonymousMemory_isSharedWithTheChild_andFreedWithTheLast() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(
        bytes: 3 << 12, .readWrite, flags: [.anonymous, .shared])
      try await machine.write(start, 1)
      let child = try await machine.space.fork("child")
      #expect(child.entry(at: start).isNone, "a fault will fill it")
      try await child.write(start, 2)
      try await child.write(start + 4096, 3)
      #expect(try await machine.read(start) == 2)
      #expect(try await machine.read(start + 4096) == 3)
      #expect(machine.space.counters.sharedMemoryPages == 2)
      // A read fault of shared memory maps it writable: nothing must be noticed.
      #expect(machine.space.entry(at: start + 4096).isWritable)
      try machine.check()
      await machine.space.exit()
      #expect(try await child.read(start) == 2)
      await child.exit()
      await machine.mm.drainLRUOfAllCPUs()
    }
    #expect(machine.mm.freeSystemPages == 255)
  }

  @Test func badArguments_haveTheirErrors_andMapNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let file = try machine.mm.createFile("f", bytes: 8192, isReadOnly: true)
      await expectThrows(KernelError.EINVAL) {
        try await space.map(file, offset: 5, bytes: 4096, .read, shared: false)
      }
      await expectThrows(KernelError.EINVAL) {
        try await space.map(file, bytes: 0, .read, shared: false)
      }
      await expectThrows(KernelError.EOVERFLOW) {
        try await space.map(
          file, offset: MappedFile.sizeLimit, bytes: 4096, .read, shared: false)
      }
      await expectThrows(KernelError.EACCES) {
        try await space.map(file, bytes: 4096, .readWrite, shared: true)
      }
      #expect(space.mappings.isEmpty)
      let range = try await Self.map(space, file, pages: 1, .read, shared: true)
      await expectThrows(KernelError.EACCES) { try await space.protect(range, .readWrite) }
      await expectThrows(KernelError.EACCES) { try await file.write(0, [1]) }
      await expectThrows(KernelError.EACCES) { try await file.truncate(to: 0) }
      await expectThrows(KernelError.EBUSY) { try await file.evict() }
      #expect(space.mappings.map(\.protection) == [.read])
    }
  }

  @Test func filePages_areCollected_andRefusedForDeviceMemory() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 4)
      let range = try await Self.map(machine.space, file, pages: 4, shared: true)
      try await machine.write(range.page(0), TestMachine.word(0))
      try await machine.expectPattern(range.subrange(0..<2))
      #expect(try await machine.device.take(machine.space, range) == 0)
      #expect(machine.device.pagemap.references == 0)
      #expect(machine.space.why(range.start)?.kind == .notAnonymous)
      try machine.check()
      try await machine.expectPattern(range)
      #expect(machine.space.entry(at: range.page(0)).isWritable)
      try await Self.end(machine, file)
    }
  }

  @Test func protection_givesWriteBack_onlyWhereNothingHasToBeNoticed() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await Self.file(machine, pages: 2)
      let space = machine.space
      let shared = try await Self.map(space, file, pages: 2, shared: true)
      let mine = try await Self.map(space, file, pages: 2, shared: false)
      try await machine.write(shared.page(0), 5)
      for range in [shared, mine] {
        _ = try await machine.read(range.page(1))
        try await space.protect(range, .read)
        await expectThrows(AccessError.segv(range.page(0), .accErr)) {
          try await machine.write(range.page(0), 6)
        }
        try await space.protect(range, .readWrite)
      }
      // Dirty already: the next write tells nothing new. Clean, or the file's: it has to fault.
      #expect(space.entry(at: shared.page(0)).isWritable)
      #expect(!space.entry(at: shared.page(1)).isWritable)
      #expect(!space.entry(at: mine.page(1)).isWritable)
      try await machine.write(shared.page(1), 7)
      try await machine.write(mine.page(1), 8)
      try await file.writeBack()
      #expect(file.stored(0, count: 8) == UInt64(5).bytes)
      #expect(file.stored(4096, count: 8) == UInt64(7).bytes)
      #expect(try await machine.read(mine.page(1)) == 8)
      try await Self.end(machine, file)
    }
  }

  @Test func daxMappings_areEINVAL() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try machine.mm.createFile("pmem", bytes: 8192, isDAX: true)
      let range = try await Self.map(machine.space, file, pages: 2, shared: true)
      try await machine.write(range.start, 5)
      await expectThrows(KernelError.EINVAL) {
        try await machine.device.take(machine.space, range)
      }
      #expect(machine.space.why(range.start)?.kind == .specialMapping)
      #expect(try await machine.read(range.start) == 5)
      try await Self.end(machine, file)
    }
  }

  @Test func driverMappings_areReadable_andCopiedByAPrivateWrite() throws {
    let machine = try TestMachine()
    let space = machine.space
    var held: [PFN] = []
    try machine.run(isQuiet: false) {
      for _ in 0..<2 { held.append(try machine.mm.allocatePage()) }
      for pfn in held { machine.mm.clear(pfn) }
      let frames = PFNRange(start: held[0], count: 2)
      let shared = try await space.mapFrames(frames, .readWrite)
      let own = try await space.mapFrames(frames, .readWrite, shared: false)
      try await machine.write(shared + 4096, 8)
      #expect(try await machine.read(own + 4096) == 8)
      try await machine.write(own, 9)
      #expect(try await machine.read(shared) == 0)
      #expect(space.counters.rss == 1)
      try machine.check(held: held)
      let child = try await space.fork("child")
      #expect(try await child.read(shared + 4096) == 8)
      #expect(try await child.read(own) == 9)
      await child.exit()
      await expectThrows(KernelError.EINVAL) {
        try await space.mapFrames(PFNRange(start: machine.device.range.start, count: 1), .read)
      }
      await expectThrows(KernelError.EINVAL) { try await space.mapPages([], .read) }
      let mixed = try await space.mapPages(held, .readWrite)
      try await machine.write(mixed, 4)
      #expect(try await machine.read(shared) == 4)
      #expect(space.counters.filePages == 2)
      #expect(machine.mm.mapCount(held[0]) == 1 && machine.mm.referenceCount(held[0]) == 2)
      try machine.check(isQuiet: false)
      await space.exit()
      try machine.check(held: held)
      for pfn in held { machine.mm.put(pfn) }
    }
  }
}
