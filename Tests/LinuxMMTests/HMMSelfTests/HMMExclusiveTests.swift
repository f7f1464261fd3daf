import Base
import KernelRuntime
import LinuxMM
import Testing

/// Pages that a device uses alone.
@Suite struct HMMExclusiveTests {
  @Test("hmm-tests: exclusive", arguments: HMMFixture.kinds)
  func exclusive(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let machine = fixture.machine
      let range = try await fixture.map()
      fixture.expectPattern(try await fixture.mirror.exclusive(range))
      #expect(throws: KernelError.EPERM) { try fixture.mirror.checkExclusive(range) }
      for page in 0..<range.pages {
        let old = try await fixture.space.exchange(range.page(page)) { (word: UInt64) in word + 1 }
        #expect(old == TestMachine.word(page))
      }
      for page in 0..<range.pages {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page) + 1)
      }
      try fixture.mirror.checkExclusive(range)
    }
  }

  @Test("hmm-tests: exclusive_mprotect", arguments: HMMFixture.kinds)
  func exclusiveMprotect(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      fixture.expectPattern(try await fixture.mirror.exclusive(range))
      try await fixture.space.protect(range, .read)
      let bytes = [UInt8](repeating: 1, count: range.pages << 12)
      await expectThrows(KernelError.EPERM) { try await fixture.mirror.write(range, bytes) }
      try await fixture.machine.expectPattern(range)
    }
  }
}
