import Base
import KernelRuntime
import LinuxMM
import Testing

/// What a device sees of anonymous memory that it doesn't own.
@Suite struct HMMAnonymousMemoryTests {
  @Test("hmm-tests: open_close", arguments: HMMFixture.kinds)
  func openClose(kind: DevicePagemap.Kind) throws {
    let fixture = try HMMFixture(kind)
    try fixture.run {}
    #expect(fixture.device.mirrors.isEmpty)
    #expect(fixture.device.pagemap.references == 0)
  }

  @Test("hmm-tests: anon_read", arguments: HMMFixture.kinds)
  func anonRead(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      // Page 0 was never touched, page 1 is the zero page.
      let range = try await fixture.map(filled: false)
      for page in 2..<range.pages { try await fixture.machine.fill(range, page) }
      try await fixture.space.protect(range, .read)
      #expect(try await fixture.machine.read(range.page(1)) == 0)
      let bytes = try await fixture.mirror.read(range)
      #expect(fixture.mirror.faults == 1)
      #expect(bytes.words == [0, 0] + (2..<range.pages).map { TestMachine.word($0) })
      #expect(bytes[..<8192].allSatisfy { $0 == 0 })
    }
  }

  @Test("hmm-tests: anon_read_prot", arguments: HMMFixture.kinds)
  func anonReadProt(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map()
      try await fixture.space.protect(range, .none)
      await expectThrows(KernelError.EFAULT) { try await fixture.mirror.read(range) }
      #expect(fixture.mirror.table.isEmpty)
      try await fixture.space.protect(range, .read)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: anon_write", arguments: HMMFixture.kinds)
  func anonWrite(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map(filled: false)
      let words = (0..<range.pages).map { TestMachine.word($0) }
      try await fixture.mirror.write(range, [UInt8](pages: words))
      #expect(fixture.mirror.faults == 1)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: anon_write_prot", arguments: HMMFixture.kinds)
  func anonWriteProt(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map(HMMFixture.pages, .read, filled: false)
      #expect(try await fixture.mirror.read(range.subrange(0..<1)).words == [0])
      #expect(fixture.mirror.faults == 1)
      let bytes = [UInt8](pages: (0..<range.pages).map { TestMachine.word($0) })
      await expectThrows(KernelError.EPERM) { try await fixture.mirror.write(range, bytes) }
      for page in 0..<range.pages {
        #expect(try await fixture.machine.read(range.page(page)) == 0)
      }
      try await fixture.space.protect(range, .readWrite)
      try await fixture.mirror.write(range, bytes)
      #expect(fixture.mirror.faults == 1)
      try await fixture.machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: anon_read_multiple", arguments: HMMFixture.kinds)
  func anonReadMultiple(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      for _ in 0..<10 {
        let range = try await fixture.map()
        fixture.expectPattern(try await fixture.mirror.read(range))
        #expect(fixture.mirror.faults == 1)
        try await fixture.space.unmap(range)
        #expect(fixture.mirror.table.isEmpty)
      }
    }
  }

  @Test("hmm-tests: anon_teardown", arguments: HMMFixture.kinds, UInt64(0)..<10)
  func anonTeardown(kind: DevicePagemap.Kind, seed: UInt64) throws {
    let fixture = try HMMFixture(kind, choices: RandomWalkChoices(seed: seed))
    try fixture.run("seed \(seed)") {
      let range = try await fixture.map()
      let unmapper = fixture.machine.kernel.spawn("unmapper") {
        do {
          try await fixture.space.unmap(range.subrange(range.pages / 2..<range.pages))
        } catch { Issue.record("\(error)") }
      }
      do throws(KernelError) {
        fixture.expectPattern(try await fixture.mirror.read(range))
      } catch {
        #expect(error == .EFAULT, "seed \(seed)")
      }
      await unmapper.join()
      await expectThrows(KernelError.EFAULT) { try await fixture.mirror.read(range) }
    }
  }
}
