import Base
import KernelRuntime
import LinuxMM
import Testing

/// Memory that moves to a device and back.
@Suite struct HMMMigrationTests {
  @Test("hmm-tests: migrate", arguments: HMMFixture.kinds)
  func migrate(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      fixture.expectPattern(try await fixture.mirror.migrateToDevice(range))
      #expect(fixture.mirror.moved == range.pages)
      #expect(fixture.device.pagemap.references == range.pages)
      let counters = fixture.space.counters
      #expect(counters.residentPages == range.pages, "R43")
      #expect(counters.devicePages == (kind == .devicePrivate ? range.pages : 0))
    }
  }

  @Test("hmm-tests: migrate_fault", arguments: HMMFixture.kinds)
  func migrateFault(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      let half = range.subrange(0..<range.pages / 2)
      try await fixture.mirror.migrateToDevice(range)
      try await fixture.machine.expectPattern(half)
      // A touch brings a private page back, and leaves a coherent one where it is.
      let isPrivate = kind == .devicePrivate
      #expect(fixture.device.faults == (isPrivate ? half.pages : 0))
      fixture.expectPattern(try await fixture.mirror.migrateToDevice(range))
      #expect(fixture.mirror.moved == (isPrivate ? half.pages : 0))
      #expect(fixture.device.pagemap.references == range.pages)
    }
  }

  @Test("hmm-tests: migrate_release", arguments: HMMFixture.kinds)
  func migrateRelease(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      fixture.expectPattern(try await fixture.mirror.migrateToDevice(range))
      try await fixture.device.release()
      #expect(!fixture.device.pagemap.isLive)
      #expect(fixture.device.faults == 0)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: migrate_multiple", arguments: HMMFixture.kinds)
  func migrateMultiple(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      for _ in 0..<10 {
        let range = try await fixture.map()
        fixture.expectPattern(try await fixture.mirror.migrateToDevice(range))
        if kind == .deviceCoherent {
          #expect(try await fixture.mirror.migrateToSystem(range) == range.pages)
        }
        try await fixture.machine.expectPattern(range)
        #expect(fixture.device.pagemap.references == 0)
        try await fixture.space.unmap(range)
      }
    }
  }

  @Test("hmm-tests: migrate_mixed", arguments: HMMFixture.kinds)
  func migrateMixed(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind, devices: 2) { fixture in
      let machine = fixture.machine
      let space = fixture.space
      let range = try await fixture.map(6, .none, filled: false)
      await expectThrows(KernelError.EINVAL) {
        try await fixture.mirrors[1].migrateToDevice(range)
      }
      try await space.unmap(range.subrange(1..<2))
      await expectThrows(KernelError.EINVAL) {
        try await fixture.mirrors[1].migrateToDevice(range.subrange(0..<3))
      }
      // Page 2 is the zero page, page 3 read-only, pages 4 and 5 can be written.
      try await space.protect(range.subrange(2..<3), .read)
      #expect(try await machine.read(range.page(2)) == 0)
      try await space.protect(range.subrange(3..<6), .readWrite)
      for page in 3..<6 { try await machine.fill(range, page) }
      try await space.protect(range.subrange(3..<4), .read)
      let bytes = try await fixture.mirrors[1].migrateToDevice(range.subrange(2..<6))
      #expect(bytes.words == [0] + (3..<6).map { TestMachine.word($0) })
      #expect(fixture.mirrors[1].moved == 4)
      #expect(fixture.mirrors[1].entry(range.page(3))?.access == .read)
      // Another device's page is not taken.
      await expectThrows(KernelError.ENOENT) {
        try await fixture.mirrors[0].migrateToDevice(range.subrange(5..<6))
      }
      #expect(fixture.devices[0].pagemap.references == 0)
    }
  }
}
