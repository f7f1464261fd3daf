import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/mremap_test.c. Each move has pages in RAM and on the device.
@Suite struct MremapSelftests {
  private static let mb: UInt64 = 1 << 20
  private static let pmd: UInt64 = 2 << 20
  private static let pud: UInt64 = 1 << 30

  /// An address that is aligned to `alignment` and to nothing more.
  private func address(_ alignment: UInt64, above base: UInt64) -> VirtualAddress {
    let rounded = (base + 2 * alignment - 1) / (2 * alignment) * (2 * alignment)
    return VirtualAddress(rounded + alignment)
  }

  /// Moves `bytes` between two places and looks for every page, sparsely filled.
  private func move(
    from source: UInt64, to target: UInt64, _ bytes: UInt64, preamble: UInt64 = 0
  ) throws {
    let machine = try TestMachine(ramPages: 512, devicePages: 32)
    try machine.run {
      let space = machine.space
      let old = self.address(source, above: 0x10_0000_0000)
      let new = self.address(target, above: 0x40_0000_0000)
      _ = try await space.map(bytes: bytes, .readWrite, at: old)
      if preamble > 0 {
        let before = try await space.map(bytes: preamble, .readWrite, at: new - preamble)
        for page in 0..<4 as Range<UInt64> { try await machine.write(before + page << 12, page) }
      }
      let pages = bytes >> 12
      var filled = Set<UInt64>([0, 1, pages / 2 - 1, pages / 2, pages - 1])
      var generator = SplitMix64(seed: bytes ^ source ^ target)
      for _ in 0..<12 { filled.insert(UInt64(generator.below(Int(pages)))) }
      let order = filled.sorted()
      for page in order { try await machine.write(old + page << 12, page + 7) }
      for page in order where page % 2 == 0 {
        let range = VirtualRange(start: old + page << 12, pages: 1)
        #expect(try await machine.device.take(space, range) == 1)
      }
      let onDevice = space.counters.devicePages
      #expect(
        try await space.remap(
          old, oldBytes: bytes, newBytes: bytes, [.mayMove, .fixed], to: new) == new)
      #expect(space.counters.devicePages == onDevice && onDevice > 0)
      try machine.check()
      for page in order {
        #expect(space.entry(at: new + page << 12).isSoftDirty)
        #expect(try await machine.read(new + page << 12) == page + 7)
      }
      for page in 0..<(preamble > 0 ? 4 : 0) as Range<UInt64> {
        #expect(try await machine.read(new - preamble + page << 12) == page)
      }
      await expectThrows(AccessError.segv(old, .mapErr)) { try await machine.read(old) }
    }
  }

  private func refused(_ source: UInt64, _ target: UInt64) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.remap(
          range.start + source, oldBytes: 8192, newBytes: 8192, [.mayMove, .fixed],
          to: range.start + target)
      }
      try await machine.expectPattern(range)
      #expect(machine.space.mappings.map(\.range) == [range])
    }
  }

  @Test("mremap_test: mremap - Source and Destination Regions Overlapping")
  func overlap() throws { try refused(0, 4096) }

  @Test("mremap_test: mremap - Destination Address Misaligned (1KB-aligned)")
  func misalignedTarget() throws { try refused(0, 1 << 30 + 1024) }

  @Test("mremap_test: mremap - Source Address Misaligned (1KB-aligned)")
  func misalignedSource() throws { try refused(1024, 1 << 30) }

  @Test("mremap_test: 8KB mremap - Source PTE-aligned, Destination PTE-aligned")
  func move8K() throws { try move(from: 4096, to: 4096, 8192) }

  @Test("mremap_test: 2MB mremap - Source 1MB-aligned, Destination PTE-aligned")
  func move2M() throws { try move(from: Self.mb, to: 4096, 2 * Self.mb) }

  @Test("mremap_test: 2MB mremap - Source 1MB-aligned, Destination 1MB-aligned")
  func move2MAligned() throws { try move(from: Self.mb, to: Self.mb, 2 * Self.mb) }

  @Test("mremap_test: 4MB mremap - Source PMD-aligned, Destination PTE-aligned")
  func move4M() throws { try move(from: Self.pmd, to: 4096, 4 * Self.mb) }

  @Test("mremap_test: 4MB mremap - Source PMD-aligned, Destination 1MB-aligned")
  func move4MToMegabyte() throws { try move(from: Self.pmd, to: Self.mb, 4 * Self.mb) }

  @Test("mremap_test: 4MB mremap - Source PMD-aligned, Destination PMD-aligned")
  func move4MAligned() throws { try move(from: Self.pmd, to: Self.pmd, 4 * Self.mb) }

  @Test("mremap_test: 2GB mremap - Source PUD-aligned, Destination PTE-aligned")
  func move2G() throws { try move(from: Self.pud, to: 4096, 2 << 30) }

  @Test("mremap_test: 2GB mremap - Source PUD-aligned, Destination 1MB-aligned")
  func move2GToMegabyte() throws { try move(from: Self.pud, to: Self.mb, 2 << 30) }

  @Test("mremap_test: 2GB mremap - Source PUD-aligned, Destination PMD-aligned")
  func move2GToPMD() throws { try move(from: Self.pud, to: Self.pmd, 2 << 30) }

  @Test("mremap_test: 2GB mremap - Source PUD-aligned, Destination PUD-aligned")
  func move2GAligned() throws { try move(from: Self.pud, to: Self.pud, 2 << 30) }

  @Test("mremap_test: 5MB mremap - Source 1MB-aligned, Destination 1MB-aligned")
  func move5M() throws { try move(from: Self.mb, to: Self.mb, 5 * Self.mb) }

  @Test("mremap_test: 5MB mremap - Source 1MB-aligned, Dest 1MB-aligned with 40MB Preamble")
  func move5MBehindPreamble() throws {
    try move(from: Self.mb, to: Self.mb, 5 * Self.mb, preamble: 40 * Self.mb)
  }

  @Test("mremap_test: 1GB mremap - Source PTE-aligned, Destination PTE-aligned")
  func move1G() throws { try move(from: 4096, to: 4096, 1 << 30) }

  @Test("mremap_test: 1GB mremap - Source PMD-aligned, Destination PMD-aligned")
  func move1GPMD() throws { try move(from: Self.pmd, to: Self.pmd, 1 << 30) }

  @Test("mremap_test: 1GB mremap - Source PUD-aligned, Destination PUD-aligned")
  func move1GPUD() throws { try move(from: Self.pud, to: Self.pud, 1 << 30) }

  @Test("mremap_test: mremap expand merge")
  func expandMerge() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.unmap(range.subrange(1..<2))
      let start = try await machine.space.remap(range.start, oldBytes: 4096, newBytes: 8192)
      #expect(start == range.start && machine.space.mappings.map(\.range) == [range])
      #expect(try await machine.read(range.page(1)) == 0)
      #expect(try await machine.read(range.page(2)) == TestMachine.word(2))
    }
  }

  @Test("mremap_test: mremap expand merge offset")
  func expandMergeOffset() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.unmap(range.subrange(2..<3))
      try await machine.space.remap(range.page(1), oldBytes: 4096, newBytes: 8192)
      #expect(machine.space.mappings.map(\.range) == [range])
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
    }
  }

  /// Moves 1 MB of 2 MB; the half that stays must keep its bytes.
  private func moveBeside(_ source: VirtualAddress, _ target: VirtualAddress) throws {
    let machine = try TestMachine(ramPages: 600)
    try machine.run {
      let space = machine.space
      let low = min(source, target)
      _ = try await space.map(bytes: 20 << 20, .readWrite, at: low - (4 << 20))
      for page in 0..<512 as Range<UInt64> { try await machine.write(source + page << 12, page) }
      try await space.remap(
        source + 1 << 20, oldBytes: 1 << 20, newBytes: 1 << 20, [.mayMove, .fixed],
        to: target + 1 << 20)
      for page in 0..<512 as Range<UInt64> {
        let here = page < 256 ? source : target
        #expect(try await machine.read(here + page << 12) == page)
      }
    }
  }

  @Test("mremap_test: mremap move within range")
  func moveWithinRange() throws {
    try moveBeside(VirtualAddress(0x1040_0000), VirtualAddress(0x1020_0000))
  }

  @Test("mremap_test: mremap move 1mb from start at 1MB+256KB aligned src")
  func moveFromUnalignedStart() throws {
    try moveBeside(VirtualAddress(0x1014_0000), VirtualAddress(0x1054_0000))
  }
}
