import Base
import KernelRuntime
import LinuxMM
import Testing

/// Devices and memory that is shared with a child or belongs to a file.
@Suite struct HMMProcessAndFileTests {
  private static let pages = HMMFixture.pages
  private static let bytes = UInt64(pages) << 12
  private static let words = (0..<pages).map { TestMachine.word($0) }
  private static let others = (0..<pages).map { UInt64(0xbeef_0000 + $0) }

  private func expect(
    _ space: AddressSpace, _ range: VirtualRange, _ words: [UInt64],
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    var met: [UInt64] = []
    for page in 0..<range.pages { met.append(try await space.read(range.page(page))) }
    #expect(met == words, sourceLocation: sourceLocation)
  }

  /// A child's device writes; what the parent sees of it.
  private func writeInChild(
    _ fixture: HMMFixture, _ range: VirtualRange, parentSees words: [UInt64]
  ) async throws {
    let child = try await fixture.space.fork("child")
    try await expect(child, range, Self.words)
    let mirror = try fixture.device.open(child)
    try await mirror.write(range, [UInt8](pages: Self.others))
    #expect(mirror.faults == 1)
    try await expect(child, range, Self.others)
    await mirror.close()
    await child.exit()
    try await expect(fixture.space, range, words)
  }

  @Test("hmm-tests: anon_write_child", arguments: HMMFixture.kinds)
  func anonWriteChild(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      try await self.writeInChild(fixture, range, parentSees: Self.words)
    }
  }

  @Test("hmm-tests: anon_write_child_shared", arguments: HMMFixture.kinds)
  func anonWriteChildShared(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await self.mapShared(fixture)
      try await self.writeInChild(fixture, range, parentSees: Self.others)
    }
  }

  private func mapShared(_ fixture: HMMFixture) async throws -> VirtualRange {
    let start = try await fixture.space.map(
      bytes: Self.bytes, .readWrite, flags: [.anonymous, .shared])
    let range = VirtualRange(start: start, pages: Self.pages)
    for page in 0..<Self.pages { try await fixture.machine.fill(range, page) }
    return range
  }

  private func file(_ fixture: HMMFixture) async throws -> MappedFile {
    let file = try fixture.machine.mm.createFile("f", bytes: Self.bytes)
    try await file.write(0, [UInt8](pages: Self.words))
    return file
  }

  /// Runs a body on a mapping of a filled file, which ends afterwards.
  private func runOnFile(
    _ kind: DevicePagemap.Kind, _ protection: Protection, shared: Bool,
    _ body: @escaping (HMMFixture, MappedFile, VirtualRange) async throws -> Void
  ) throws {
    try HMMFixture.run(kind) { fixture in
      let file = try await self.file(fixture)
      let start = try await fixture.space.map(
        file, bytes: Self.bytes, protection, shared: shared)
      let range = VirtualRange(start: start, pages: Self.pages)
      try await body(fixture, file, range)
      try await fixture.space.unmap(range)
      try await file.evict()
    }
  }

  @Test("hmm-tests: file_read", arguments: HMMFixture.kinds)
  func fileRead(kind: DevicePagemap.Kind) throws {
    try runOnFile(kind, .read, shared: true) { fixture, _, range in
      fixture.expectPattern(try await fixture.mirror.read(range))
      #expect(fixture.mirror.faults == 1)
    }
  }

  @Test("hmm-tests: file_write", arguments: HMMFixture.kinds)
  func fileWrite(kind: DevicePagemap.Kind) throws {
    try runOnFile(kind, .readWrite, shared: true) { fixture, file, range in
      try await fixture.mirror.write(range, [UInt8](pages: Self.others))
      try await self.expect(fixture.space, range, Self.others)
      #expect(try await file.read(0, count: Int(Self.bytes)).words == Self.others)
      try await file.writeBack()
      #expect(file.stored(0, count: 8) == Self.others[0].bytes)
    }
  }

  @Test("hmm-tests: migrate_file_private", arguments: HMMFixture.kinds)
  func migrateFilePrivate(kind: DevicePagemap.Kind) throws {
    try runOnFile(kind, .readWrite, shared: false) { fixture, file, range in
      for page in 0..<Self.pages {
        try await fixture.machine.write(range.page(page), Self.others[page])
      }
      #expect(try await fixture.mirror.migrateToDevice(range).words == Self.others)
      #expect(fixture.mirror.moved == Self.pages)
      try await self.expect(fixture.space, range, Self.others)
      #expect(try await file.read(0, count: 8) == Self.words[0].bytes)
      // R12: a place that shows the file is not filled.
      try await fixture.space.discard(range.subrange(0..<1))
      await expectThrows(KernelError.ENOENT) {
        try await fixture.mirror.migrateToDevice(range.subrange(0..<1))
      }
    }
  }

  @Test("hmm-tests: migrate_shared", arguments: HMMFixture.kinds)
  func migrateShared(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await self.mapShared(fixture)
      await expectThrows(KernelError.ENOENT) { try await fixture.mirror.migrateToDevice(range) }
      #expect(fixture.mirror.moved == 0)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: mixedmap", arguments: HMMFixture.kinds)
  func mixedMap(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let mm = fixture.machine.mm
      let page = try mm.allocatePage()
      mm.clear(page)
      let start = try await fixture.space.mapPages([page], .read)
      mm.put(page)
      let range = VirtualRange(start: start, pages: 1)
      #expect(try await fixture.mirror.snapshot(range) == [.read])
      await expectThrows(KernelError.EINVAL) { try await fixture.mirror.migrateToDevice(range) }
    }
  }

  @Test("hmm-tests: hmm_cow_in_device", arguments: HMMFixture.kinds)
  func cowInDevice(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.mapOnDevice(4)
      let child = try await fixture.space.fork("child")
      for page in 0..<4 { try await fixture.machine.write(range.page(page), Self.others[page]) }
      try await self.expect(child, range, Array(Self.words[..<4]))
      await child.exit()
      #expect(try await fixture.mirror.snapshot(range) == [.write, .write, .write, .write])
      try await self.expect(fixture.space, range, Array(Self.others[..<4]))
    }
  }

  @Test("hmm-tests: exclusive_cow", arguments: HMMFixture.kinds)
  func exclusiveCow(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      fixture.expectPattern(try await fixture.mirror.exclusive(range))
      let child = try await fixture.space.fork("child")
      for space in [child, fixture.space] {
        for page in 0..<range.pages {
          let old = try await space.exchange(range.page(page)) { (word: UInt64) in word + 1 }
          #expect(old == TestMachine.word(page))
        }
        try await self.expect(space, range, Self.words.map { $0 + 1 })
      }
      try fixture.mirror.checkExclusive(range)
      await child.exit()
    }
  }
}
