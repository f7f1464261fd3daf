import Base
import KernelRuntime
import LinuxMM
import Testing

/// Pages on a device that somebody asks for.
@Suite struct HMMUserPagesTests {
  @Test("hmm-tests: hmm_gup_test", arguments: HMMFixture.kinds)
  func gupTest(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let space = fixture.space
      let mm = fixture.machine.mm
      let range = try await fixture.map(4)
      fixture.expectPattern(try await fixture.mirror.migrateToDevice(range), pages: 0..<4)
      let held = [
        try await space.getUserPages(range.page(0), pages: 1, .write),
        try await space.getUserPagesFast(range.page(1), pages: 1, .write),
        try await space.pinUserPagesFast(range.page(2), pages: 1, [.write, .longTerm]),
        try await space.pinUserPages(range.page(3), pages: 1, [.write, .longTerm]),
      ]
      #expect(held.allSatisfy { $0.count == 1 })
      #expect(mm.pinCount(held[2].pfns[0]) == 1 && mm.pinCount(held[3].pfns[0]) == 1)
      for pages in held { mm.release(pages) }
      let stays: DeviceMirror.Shown = kind == .deviceCoherent ? [.local, .write] : .write
      #expect(try await fixture.mirror.snapshot(range) == [stays, stays, .write, .write])
      try await fixture.machine.expectPattern(range)
    }
  }
}
