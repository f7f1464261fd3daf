import Base
import KernelRuntime
import LinuxMM
import Testing

/// Mappings of huge pages from the pool.
@Suite struct HugetlbTests {
  private static let size = UInt64(HugePage.pages) << 12

  private static func expect(
    _ machine: TestMachine, total: Int, free: Int, reserved: Int,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let counters = machine.mm.hugetlbCounters
    #expect(
      [counters.total, counters.free, counters.reserved] == [total, free, reserved],
      sourceLocation: sourceLocation)
  }

  @Test func touches_takePromisedPages() throws {
    try withHugetlbPool(3) { machine in
      let mm = machine.mm
      let start = try await machine.space.mapHugetlb(bytes: Self.size + 1, .readWrite)
      #expect(mm.hugetlbCounters.reserved == 2)
      await expectThrows(KernelError.ENOMEM) {
        try await machine.space.mapHugetlb(bytes: 2 * Self.size, .readWrite)
      }
      try await machine.write(start + Self.size - 8, 5)
      #expect(try await machine.read(start + Self.size - 8) == 5)
      #expect(try await machine.read(start) == 0)
      Self.expect(machine, total: 3, free: 2, reserved: 1)
      #expect(machine.space.counters.rss == 0)
      try machine.check()
    }
  }

  @Test func aPage_isNeverCutInTwo() throws {
    try withHugetlbPool(2) { machine in
      let space = machine.space
      let start = try await space.mapHugetlb(bytes: 2 * Self.size, .readWrite)
      try await machine.write(start, 1)
      try await machine.write(start + Self.size, 2)
      let part = VirtualRange(start: start, pages: 1)
      await expectThrows(KernelError.EINVAL) { try await space.unmap(part) }
      await expectThrows(KernelError.EINVAL) { try await space.protect(part, .read) }
      await expectThrows(KernelError.EINVAL) {
        try await space.discard(VirtualRange(start: start + 4096, pages: HugePage.pages))
      }
      // An end within a page spares it.
      try await space.discard(part)
      #expect(try await machine.read(start) == 1)
      await expectThrows(KernelError.EINVAL) {
        try await space.remap(start, oldBytes: Self.size, newBytes: 4096)
      }
      await expectThrows(KernelError.EINVAL) {
        try await space.remap(
          start, oldBytes: 2 * Self.size, newBytes: 3 * Self.size, .mayMove)
      }
      await expectThrows(KernelError.EINVAL) {
        try await space.mapHugetlb(bytes: 1, .read, at: VirtualAddress(0x1000_1000))
      }
      try await space.unmap(VirtualRange(start: start, pages: HugePage.pages))
      #expect(machine.mm.hugetlbCounters.free == 1)
      let target = VirtualAddress(0x4000_0000)
      try await space.remap(
        start + Self.size, oldBytes: Self.size, newBytes: Self.size, [.mayMove, .fixed],
        to: target)
      #expect(try await machine.read(target) == 2)
    }
  }

  @Test func privatePages_areCopiedAfterAFork_whileThePoolLasts() throws {
    try withHugetlbPool(2) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start + 4096, 5)
      let child = try await machine.space.fork("child")
      let second = try await machine.space.fork("second")
      try await child.write(start + 4096, 6)
      #expect(try await machine.read(start + 4096) == 5)
      #expect(try await child.read(start + 4096) == 6)
      try machine.check()
      await expectThrows(AccessError.sigbus(start, .ENOMEM)) { try await second.write(start, 1) }
      await second.exit()
      // The last user writes in place.
      try await machine.write(start + 4096, 7)
      #expect(machine.mm.hugetlbCounters.free == 0)
      #expect(try await child.read(start + 4096) == 6)
    }
  }

  @Test func sharedPages_areOneForAll() throws {
    try withHugetlbPool(1) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite, shared: true)
      let child = try await machine.space.fork("child")
      try await child.write(start, 6)
      #expect(try await machine.read(start) == 6)
      await machine.space.exit()
      #expect(try await child.read(start) == 6)
      try machine.check()
    }
  }

  @Test func migration_refusesThem() throws {
    try withHugetlbPool(1) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 3)
      await expectThrows(KernelError.EINVAL) {
        try await machine.device.take(machine.space, VirtualRange(start: start, pages: 4))
      }
      #expect(machine.space.why(start)?.kind == .hugetlb)
      #expect(try await machine.read(start) == 3)
    }
  }

  @Test("hmm-tests: anon_write_hugetlbfs")
  func deviceWrites() throws {
    try withHugetlbPool(1) { machine in
      let device = try MirrorDevice(machine.mm, "mirror", kind: .devicePrivate, pages: 1)
      let mirror = try device.open(machine.space)
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      let range = VirtualRange(start: start, pages: 130)
      let words = (0..<130).map { UInt64($0 + 3) }
      try await mirror.write(range, [UInt8](pages: words))
      #expect(mirror.faults == 1)
      for page in 0..<130 {
        #expect(try await machine.read(range.page(page)) == UInt64(page + 3))
      }
      await mirror.close()
    }
  }
}
