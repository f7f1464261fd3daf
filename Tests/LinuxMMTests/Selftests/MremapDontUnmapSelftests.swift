import Base
import KernelRuntime
import LinuxMM
import Testing

/// Linux, tools/testing/selftests/mm/mremap_dontunmap.c. Some of the pages are on the device.
@Suite struct MremapDontUnmapSelftests {
  /// Moves pages `part` of ten away, leaving the mapping.
  private func check(
    _ part: Range<Int>, flags: VMA.Flags = .anonymous, to target: Bool = false
  ) throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let start = try await space.map(bytes: 10 << 12, .readWrite, flags: flags)
      let range = VirtualRange(start: start, pages: 10)
      for page in 0..<10 { try await machine.fill(range, page) }
      if flags == .anonymous { try await machine.device.take(space, range.subrange(4..<7)) }
      let other = try await machine.map(pages: 20, filled: false, name: "target")
      for page in 0..<20 { try await machine.write(other.page(page), 99) }
      let moved = range.subrange(part)
      let place = try await space.remap(
        moved.start, oldBytes: moved.bytes, newBytes: moved.bytes,
        target ? [.mayMove, .dontUnmap, .fixed] : [.mayMove, .dontUnmap],
        to: target ? other.start : nil)
      try machine.check()
      for page in 0..<10 {
        let isMoved = part.contains(page)
        // Shared memory is still there, private pages are not.
        let old = isMoved && flags == .anonymous ? 0 : TestMachine.word(page)
        #expect(try await machine.read(range.page(page)) == old)
        guard isMoved else { continue }
        let here = place + UInt64(page - part.lowerBound) << 12
        #expect(try await machine.read(here) == TestMachine.word(page))
        try await machine.write(range.page(page), 5)
        #expect(
          try await machine.read(here) == (flags == .anonymous ? TestMachine.word(page) : 5))
      }
      for page in (target ? part.count : 0)..<20 {
        #expect(try await machine.read(other.page(page)) == 99)
      }
    }
  }

  @Test("mremap_dontunmap: mremap_dontunmap_simple")
  func simple() throws { try check(0..<10) }

  @Test("mremap_dontunmap: mremap_dontunmap_simple_shmem")
  func simpleSharedMemory() throws { try check(0..<10, flags: [.anonymous, .shared]) }

  @Test("mremap_dontunmap: mremap_dontunmap_simple_fixed")
  func simpleFixed() throws { try check(0..<10, to: true) }

  @Test("mremap_dontunmap: mremap_dontunmap_partial_mapping")
  func partialMapping() throws { try check(5..<10) }

  @Test("mremap_dontunmap: mremap_dontunmap_partial_mapping_overwrite")
  func partialMappingOverwrite() throws { try check(0..<5, to: true) }
}
