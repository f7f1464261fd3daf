import Base
import KernelRuntime
import LinuxMM
import Testing

/// Two devices that mirror one process.
@Suite struct HMMTwoDevicesTests {
  @Test("hmm-tests: snapshot", arguments: HMMFixture.kinds)
  func snapshot(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind, devices: 2) { fixture in
      let machine = fixture.machine
      let space = fixture.space
      let range = try await fixture.map(7, .none, filled: false)
      try await space.unmap(range.subrange(1..<2))
      try await space.protect(range.subrange(2..<3), .read)
      #expect(try await machine.read(range.page(2)) == 0)
      try await space.protect(range.subrange(3..<7), .readWrite)
      try await machine.fill(range, 3)
      try await space.protect(range.subrange(3..<4), .read)
      try await machine.fill(range, 4)
      try await fixture.mirrors[0].migrateToDevice(range.subrange(5..<6))
      try await fixture.mirrors[1].migrateToDevice(range.subrange(6..<7))
      let faults = space.counters.deviceFaults
      let shown = try await fixture.mirrors[0].snapshot(range)
      #expect(space.counters.deviceFaults == faults)
      let remote: DeviceMirror.Shown = kind == .devicePrivate ? .none : [.remote, .write]
      #expect(
        shown == [.error, .error, [.zero, .read], .read, .write, [.local, .write], remote])
    }
  }

  @Test("hmm-tests: double_map", arguments: HMMFixture.kinds)
  func doubleMap(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind, devices: 2) { fixture in
      let range = try await fixture.map(6)
      try await fixture.space.protect(range, .read)
      for mirror in fixture.mirrors {
        fixture.expectPattern(try await mirror.read(range), pages: 0..<6)
        #expect(mirror.faults == 1)
      }
      fixture.expectPattern(
        try await fixture.mirrors[1].migrateToDevice(range), pages: 0..<6)
      #expect(fixture.mirrors[0].table.isEmpty, "the other device's entries are gone")
      fixture.expectPattern(try await fixture.mirrors[0].read(range), pages: 0..<6)
      #expect(fixture.mirrors[0].faults == 1)
      // H01: private pages came back to RAM; coherent ones are mapped where they are.
      #expect(fixture.devices[1].faults == (kind == .devicePrivate ? 6 : 0))
      #expect(fixture.devices[1].pagemap.references == (kind == .devicePrivate ? 0 : 6))
    }
  }
}
