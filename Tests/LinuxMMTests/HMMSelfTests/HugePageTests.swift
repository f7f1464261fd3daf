import Base
import KernelRuntime
import LinuxMM
import Testing

/// The checks of huge pages in the kernel's `hmm-tests`.
@Suite struct HMMHugePageTests {
  static let pages = HugePage.pages

  /// Runs a body with a mirror of the process that has no memory of its own.
  private func withMirror(
    _ body: @escaping (TestMachine, DeviceMirror) async throws -> Void
  ) throws {
    let machine = try TestMachine.huge()
    let device = try MirrorDevice(machine.mm, "mirror", pages: 1)
    let mirror = try device.open(machine.space)
    try machine.run {
      try await body(machine, mirror)
      await mirror.close()
    }
  }

  @Test("hmm-tests: anon_write_huge")
  func anonWriteHuge() throws {
    try withMirror { machine, mirror in
      let range = try await machine.mapHuge(filled: false)
      try await mirror.write(range, [UInt8](pages: (0..<Self.pages).map { TestMachine.word($0) }))
      #expect(machine.isHuge(range))
      try await machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: compound")
  func compound() throws {
    try withMirror { machine, _ in
      let range = try await machine.mapHuge()
      for protection in [Protection.readWrite, .read] {
        try await machine.space.protect(range, protection)
        let notifier = try machine.space.insertNotifier(range, QuietMirror())
        var request = HMMRange(
          notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil)
        await machine.space.mmapLock.lockShared()
        try await machine.space.hmmRangeFault(&request)
        machine.space.mmapLock.unlockShared()
        let isWritable = protection == .readWrite
        #expect(
          request.pfns.allSatisfy {
            $0.isValid && $0.mapOrder == HugePage.order && $0.isWritable == isWritable
          })
        await notifier.remove()
      }
    }
  }

  @Test("hmm-tests: migrate_anon_huge_empty")
  func migrateAnonHugeEmpty() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      let moved = try await machine.device.takeHuge(machine.space, range)
      #expect(moved.count == 1 && moved[0].isCompound && machine.isHuge(range))
      for page in 0..<Self.pages { #expect(try await machine.read(range.page(page)) == 0) }
    }
  }

  @Test("hmm-tests: migrate_anon_huge_zero")
  func migrateAnonHugeZero() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      _ = try await machine.read(range.start)
      #expect(machine.location(range) == .zero)
      let moved = try await machine.device.takeHuge(machine.space, range)
      #expect(moved.count == 1 && machine.location(range, 44).isDevice)
      try await machine.write(range.page(3), 3)
      for page in 0..<Self.pages {
        #expect(try await machine.read(range.page(page)) == (page == 3 ? 3 : 0))
      }
    }
  }

  @Test("hmm-tests: migrate_anon_huge_free")
  func migrateAnonHugeFree() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      try await machine.space.advise(range, .free)
      // Nobody but the process can say what happened to pages on a device: they stay.
      #expect(machine.isHuge(range) && machine.location(range).isDevice)
      try await machine.expectPattern(range)
    }
  }

  @Test("hmm-tests: migrate_anon_huge_fault")
  func migrateAnonHugeFault() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      try await machine.expectPattern(range)
      #expect(machine.device.faults == 1 && machine.isHuge(range))
    }
  }

  /// 1 MiB unmapped at three offsets, with and without huge pages; the rest is intact.
  @Test("hmm-tests: migrate_partial_unmap_fault", arguments: [0, 128, 256], [true, false])
  func migratePartialUnmapFault(first: Int, isHuge: Bool) throws {
    let machine = try TestMachine.huge(policy: isHuge ? .always : .never)
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      let part = first..<first + 256
      try await machine.space.unmap(range.subrange(part))
      for page in 0..<Self.pages where !part.contains(page) {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      #expect(machine.device.pagemap.references == 0)
    }
  }

  /// Moved before the fault, to an aligned or an odd place, with and without the old mapping.
  @Test("hmm-tests: migrate_remap_fault", arguments: [0, 128, 1], [true, false])
  func migrateRemapFault(offset: Int, isHuge: Bool) throws {
    for dontUnmap in [true, false] { try remapAndFault(offset, isHuge, dontUnmap) }
  }

  private func remapAndFault(_ offset: Int, _ isHuge: Bool, _ dontUnmap: Bool) throws {
    let machine = try TestMachine.huge(policy: isHuge ? .always : .never)
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, range)
      let target = VirtualAddress(0x5000_0000 + UInt64(offset) << 12)
      let flags: RemapFlags = dontUnmap ? [.mayMove, .fixed, .dontUnmap] : [.mayMove, .fixed]
      let start = try await machine.space.remap(
        range.start, oldBytes: range.bytes, newBytes: range.bytes, flags, to: target)
      let moved = VirtualRange(start: start, pages: range.pages)
      #expect(machine.isHuge(moved) == (isHuge && offset == 0))
      try await machine.expectPattern(moved)
      if dontUnmap { #expect(try await machine.read(range.page(5)) == 0) }
      #expect(machine.device.pagemap.references == 0)
    }
  }

  @Test("hmm-tests: migrate_anon_huge_err")
  func migrateAnonHugeErr() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      // The device has no huge page: 512 small ones.
      let moved = try await machine.device.takeHuge(machine.space, range, splits: true)
      #expect(moved.count == Self.pages && !machine.isHuge(range))
      try await machine.expectPattern(range)
      // RAM has none on the way back.
      let second = try await machine.mapHuge(step: 1)
      try await machine.device.takeHuge(machine.space, second)
      machine.kernel.failures.arm(.hugeAlloc, .from(1))
      try await machine.expectPattern(second)
      machine.kernel.failures.disarm()
      #expect(!machine.isHuge(second) && machine.location(second, 500).isRAM)
    }
  }

  @Test("hmm-tests: migrate_anon_huge_zero_err")
  func migrateAnonHugeZeroErr() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      _ = try await machine.read(range.start)
      let moved = try await machine.device.takeHuge(machine.space, range, splits: true)
      #expect(moved.count == Self.pages && machine.location(range, 9).isDevice)
      machine.kernel.failures.arm(.hugeAlloc, .from(1))
      for page in 0..<Self.pages { #expect(try await machine.read(range.page(page)) == 0) }
      machine.kernel.failures.disarm()
    }
  }

  /// What huge pages save, in counts: the words a driver handles, the faults on the way back.
  @Test("hmm-tests: benchmark_thp_migration", arguments: [1, 2, 3])
  func benchmarkTHPMigration(blocks: Int) throws {
    for isHuge in [true, false] {
      let machine = try TestMachine.huge(policy: isHuge ? .always : .never)
      try machine.run {
        let range = try await machine.mapHuge(blocks, step: 1)
        let words = try await machine.device.takeHuge(machine.space, range).count
        let flushes = machine.space.counters.tlbFlushes
        #expect(words == (isHuge ? blocks : range.pages) && flushes >= UInt64(blocks))
        try await machine.expectPattern(range)
        #expect(machine.device.faults == words)
        #expect(machine.mm.hugeCounters.migrationsCommitted == (isHuge ? UInt64(2 * blocks) : 0))
      }
    }
  }
}
