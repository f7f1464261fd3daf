import Base
import KernelRuntime
import LinuxMM
import Testing

/// Who gets the huge pages of the pool: promises, copies without a free page, files.
@Suite struct HugetlbSharingTests {
  private static let size = UInt64(PageSize.hugeBytes)

  private func page(_ start: VirtualAddress, _ index: UInt64, count: Int = 1) -> VirtualRange {
    VirtualRange(start: start + index * Self.size, pages: count * HugePage.pages)
  }

  @Test func theOwner_takesItsPageFromChildren() throws {
    try withHugetlbPool(1) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 5)
      let child = try await machine.space.fork("child")
      let other = try await machine.space.fork("other")
      #expect(try await child.read(start) == 5)
      try await machine.write(start, 6)
      #expect(try await machine.read(start) == 6)
      for space in [child, other] {
        await expectThrows(AccessError.sigbus(start, .ENOMEM)) { try await space.read(start) }
      }
      await machine.space.exit()
      // No page of zeroes takes the place of what is gone, though one is free.
      #expect(machine.mm.hugetlbCounters.free == 1)
      await expectThrows(AccessError.sigbus(start, .ENOMEM)) { try await child.read(start) }
    }
  }

  @Test func aPinByTheChild_survivesTheTaking() throws {
    try withHugetlbPool(1) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 5)
      let child = try await machine.space.fork("child")
      let held = try await child.getUserPages(start, pages: 1)
      try await machine.write(start, 6)
      #expect(machine.mm.referenceReport(held.pfns[0]).others == 1)
      await machine.space.exit()
      #expect(machine.mm.hugetlbCounters.free == 0)
      machine.mm.release(held)
      #expect(machine.mm.hugetlbCounters.free == 1)
    }
  }

  @Test func aCopy_usesNoPromiseOfAnotherPlace() throws {
    try withHugetlbPool(2) { machine in
      let start = try await machine.space.mapHugetlb(bytes: 2 * Self.size, .readWrite)
      try await machine.write(start, 5)
      let child = try await machine.space.fork("child")
      try await machine.write(start, 6)
      await expectThrows(AccessError.sigbus(start, .ENOMEM)) { try await child.read(start) }
      try await machine.write(start + Self.size, 7)
      #expect(try await machine.read(start) == 6)
    }
  }

  @Test func whatGoes_givesItsPromiseBack() throws {
    try withHugetlbPool(3) { machine in
      let (mm, space) = (machine.mm, machine.space)
      let start = try await space.mapHugetlb(bytes: 3 * Self.size, .readWrite)
      try await machine.write(start + Self.size, 5)
      #expect(mm.hugetlbCounters.reserved == 2)
      try await space.unmap(self.page(start, 2))
      #expect(mm.hugetlbCounters.reserved == 1)
      // The page that its owner drops is promised again, one that a child has too is not.
      try await space.discard(self.page(start, 1))
      #expect(mm.hugetlbCounters.reserved == 2)
      #expect(try await machine.read(start + Self.size) == 0)
      let child = try await space.fork("child")
      try await space.discard(self.page(start, 1))
      #expect(mm.hugetlbCounters.reserved == 1)
      await child.exit()
      // A promise moves with its mapping.
      let target = VirtualAddress(0x4000_0000)
      try await space.remap(
        start, oldBytes: 2 * Self.size, newBytes: 2 * Self.size, [.mayMove, .fixed], to: target)
      #expect(mm.hugetlbCounters.reserved == 1)
      try machine.check()
      try await machine.write(target, 3)
      #expect(mm.hugetlbCounters.reserved == 0)
      await expectThrows(KernelError.EINVAL) {
        try await space.remap(
          target, oldBytes: Self.size, newBytes: Self.size, [.mayMove, .dontUnmap])
      }
    }
  }

  @Test func files_showOnePageToAll() throws {
    try withHugetlbPool(3) { machine in
      let (mm, space) = (machine.mm, machine.space)
      let file = try mm.createHugetlbFile("f", bytes: 1)
      #expect(file.hugePages == 1)
      let shared = try await space.mapHugetlb(file, bytes: Self.size, .readWrite, shared: true)
      let again = try await space.mapHugetlb(file, bytes: Self.size, .read, shared: true)
      // The second mapping needs no promise of its own.
      #expect(mm.hugetlbCounters.reserved == 1)
      try await machine.write(shared, 5)
      #expect(try await machine.read(again) == 5)
      #expect(mm.hugetlbCounters.reserved == 0)
      let mine = try await space.mapHugetlb(file, bytes: Self.size, .readWrite)
      #expect(try await machine.read(mine) == 5)
      #expect(space.entry(at: mine).location == .ram(try #require(file.page(0))))
      try await machine.write(mine, 6)
      #expect(try await machine.read(again) == 5)
      #expect(mm.hugetlbCounters.free == 1 && mm.hugetlbCounters.reserved == 0)
      #expect(throws: KernelError.EBUSY) { try file.evict() }
      for start in [shared, again, mine] { try await space.unmap(self.page(start, 0)) }
      #expect(mm.hugetlbCounters.free == 2)
      let last = try await space.mapHugetlb(file, bytes: Self.size, .read, shared: true)
      #expect(try await machine.read(last) == 5)
      try await space.unmap(self.page(last, 0))
      try file.evict()
      #expect(throws: KernelError.ENOENT) { try file.evict() }
    }
  }

  @Test func aMappingForWriting_makesAFileLonger() throws {
    try withHugetlbPool(2) { machine in
      let space = machine.space
      let file = try machine.mm.createHugetlbFile("f", bytes: Self.size)
      let reader = try await space.mapHugetlb(file, bytes: 2 * Self.size, .read, shared: true)
      await expectThrows(AccessError.sigbus(reader + Self.size, .EINVAL)) {
        try await machine.read(reader + Self.size)
      }
      let writer = try await space.mapHugetlb(
        file, offset: Self.size, bytes: Self.size, .readWrite, shared: true)
      #expect(file.hugePages == 2)
      try await machine.write(writer, 5)
      #expect(try await machine.read(reader + Self.size) == 5)
      try await space.unmap(self.page(reader, 0, count: 2))
      try await space.unmap(self.page(writer, 0))
      try file.evict()
    }
  }

  @Test func badArguments_changeNothing() throws {
    try withHugetlbPool(1) { machine in
      let (mm, space) = (machine.mm, machine.space)
      let file = try mm.createHugetlbFile("f", bytes: 2 * Self.size)
      let before = (mm.hugetlbCounters, space.mappings.count)
      let cases: [(KernelError, UInt64, UInt64)] = [
        (.EINVAL, 0, 0), (.EINVAL, 4096, Self.size), (.ENOMEM, 0, 2 * Self.size),
        (.EOVERFLOW, 1 << 47, Self.size),
      ]
      for (error, offset, bytes) in cases {
        for shared in [false, true] {
          await expectThrows(error) {
            try await space.mapHugetlb(
              file, offset: offset, bytes: bytes, .readWrite, shared: shared)
          }
        }
      }
      #expect(throws: KernelError.EOVERFLOW) { try mm.createHugetlbFile("g", bytes: 1 << 62) }
      #expect(before.0 == mm.hugetlbCounters && before.1 == space.mappings.count)
      #expect(throws: KernelError.ENOSPC) { try file.allocate() }
      #expect(file.page(0) != nil && file.page(1) == nil && file.page(-1) == nil)
      try file.evict()
    }
  }
}
