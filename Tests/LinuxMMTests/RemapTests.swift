import Base
import KernelRuntime
import LinuxMM
import Testing

/// `mremap` with pages on the device, under migration, shared with a child, of files.
@Suite struct RemapTests {
  @Test func movedDevicePages_comeBackAtTheNewPlace() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.device.take(machine.space, range)
      let start = try await machine.space.remap(
        range.start, oldBytes: range.bytes, newBytes: 6 << 12, [.mayMove, .fixed],
        to: VirtualAddress(0x5000_0000))
      let moved = VirtualRange(start: start, pages: 4)
      #expect(machine.space.counters.devicePages == 4)
      try machine.check()
      // Eviction finds the pages through the reverse map.
      try await machine.device.evict()
      #expect(machine.device.pagemap.references == 0)
      try await machine.expectPattern(moved)
      #expect(try await machine.read(moved.end) == 0)
    }
  }

  @Test func pagesOnTheirWay_arriveAtTheNewPlace() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let child = try await machine.space.fork("child")
      // The child migrates what both share; meanwhile the parent moves its mapping.
      let buffers = MigrationBuffers(pages: 3)
      await child.mmapLock.lockShared()
      let pages = try await child.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system), buffers)
      #expect(machine.location(range).isMigration)
      let start = try await machine.space.remap(
        range.start, oldBytes: range.bytes, newBytes: range.bytes, [.mayMove, .fixed],
        to: VirtualAddress(0x5000_0000))
      #expect(machine.space.entry(at: start).location.isMigration)
      machine.device.copyToDevice(pages)
      await pages.commit().finalize()
      child.mmapLock.unlockShared()
      let moved = VirtualRange(start: start, pages: 3)
      for page in 0..<3 { #expect(machine.location(moved, page).isDevice) }
      try machine.check()
      try await machine.expectPattern(moved)
      await child.exit()
    }
  }

  @Test func fileMappings_keepTheirPlaceInTheFile() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try await FileMappingTests.file(machine, pages: 4)
      let range = try await FileMappingTests.map(machine.space, file, pages: 4, shared: true)
      try await machine.write(range.page(1), 5)
      let start = try await machine.space.remap(
        range.page(1), oldBytes: 8192, newBytes: 8192, [.mayMove, .fixed],
        to: VirtualAddress(0x5000_0000))
      #expect(try await machine.read(start) == 5)
      #expect(try await machine.read(start + 4096) == TestMachine.word(2))
      // A second view of the whole, without an old length.
      let view = try await machine.space.remap(
        range.start, oldBytes: 0, newBytes: 4096, .mayMove)
      #expect(try await machine.read(view) == TestMachine.word(0))
      try machine.check()
      // Truncation finds the moved part.
      try await file.truncate(to: 8192)
      await expectThrows(AccessError.sigbus(start + 4096, .EINVAL)) {
        try await machine.read(start + 4096)
      }
      try await FileMappingTests.end(machine, file)
    }
  }

  @Test func shrinking_unmapsTheEnd_andGrowingNeedsRoom() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let base = VirtualAddress(0x5000_0000)
      _ = try await space.map(bytes: 8 << 12, .readWrite, at: base)
      let range = VirtualRange(start: base, pages: 8)
      for page in 0..<8 { try await machine.fill(range, page) }
      try await machine.device.take(space, range.subrange(5..<8))
      try await space.remap(base, oldBytes: 8 << 12, newBytes: 4 << 12)
      #expect(machine.device.pagemap.references == 0)
      #expect(space.mappings.map(\.range) == [range.subrange(0..<4)])
      _ = try await space.map(bytes: 4096, .read, at: range.page(5))
      try await space.remap(base, oldBytes: 4 << 12, newBytes: 5 << 12)
      await expectThrows(KernelError.ENOMEM) {
        try await space.remap(base, oldBytes: 5 << 12, newBytes: 6 << 12)
      }
      let place = try await space.remap(base, oldBytes: 5 << 12, newBytes: 6 << 12, .mayMove)
      #expect(place != base)
      #expect(try await machine.read(place + 3 << 12) == TestMachine.word(3))
    }
  }

  @Test func badArguments_haveTheirErrors_andMoveNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let range = try await machine.map(pages: 4)
      let far = VirtualAddress(0x5000_0000)
      typealias Case = (
        at: VirtualAddress, old: UInt64, new: UInt64, flags: RemapFlags, to: VirtualAddress?,
        error: KernelError
      )
      let cases: [Case] = [
        (range.start, 4096, 0, [], nil, .EINVAL),
        (range.start, 4096, 4096, [.fixed], far, .EINVAL),
        (range.start, 4096, 4096, [.dontUnmap], nil, .EINVAL),
        (range.start, 4096, 8192, [.mayMove, .dontUnmap], nil, .EINVAL),
        (range.start, 0, 4096, [.mayMove], nil, .EINVAL),
        (range.start, 4096, 4096, [.mayMove, .fixed], nil, .EINVAL),
        (range.start, 4096, 4096, [.mayMove, .fixed], VirtualAddress(1 << 47), .EINVAL),
        (far, 4096, 4096, [], nil, .EFAULT),
        (range.start, 5 << 12, 6 << 12, [.mayMove], nil, .EFAULT),
        (range.start, 4096, 1 << 47, [.mayMove], nil, .ENOMEM),
      ]
      for item in cases {
        await expectThrows(item.error) {
          try await space.remap(
            item.at, oldBytes: item.old, newBytes: item.new, item.flags, to: item.to)
        }
      }
      #expect(space.mappings.map(\.range) == [range])
      try await machine.expectPattern(range)
      let frame = try machine.mm.allocatePage()
      let driver = try await space.mapFrames(PFNRange(start: frame, count: 1), .read)
      await expectThrows(KernelError.EFAULT) {
        try await space.remap(driver, oldBytes: 4096, newBytes: 8192, .mayMove)
      }
      await expectThrows(KernelError.EINVAL) {
        try await space.remap(driver, oldBytes: 4096, newBytes: 4096, [.mayMove, .dontUnmap])
      }
      try await space.unmap(VirtualRange(start: driver, pages: 1))
      machine.mm.put(frame)
    }
  }

  @Test(arguments: [0, 4096] as [UInt64])
  func hugePages_moveWhole_whereBothPlacesAreAligned(offset: UInt64) throws {
    let machine = try TestMachine.huge(policy: .always)
    try machine.run {
      let range = try await machine.mapHuge(2, step: 100)
      #expect(machine.isHuge(range))
      let target = VirtualAddress(0x5000_0000 + offset)
      // The first one and a part of the second.
      let bytes = range.bytes - 100 << 12
      try await machine.space.remap(
        range.start, oldBytes: bytes, newBytes: bytes, [.mayMove, .fixed], to: target)
      #expect(machine.space.isMappedHuge(target) == (offset == 0))
      #expect(!machine.space.isMappedHuge(target + UInt64(HugePage.pages) << 12))
      try machine.check()
      for page in stride(from: 0, to: range.pages, by: 100) {
        let here = page < range.pages - 100 ? target + UInt64(page) << 12 : range.page(page)
        #expect(try await machine.read(here) == TestMachine.word(page))
      }
    }
  }

  @Test func withoutATable_nothingMoves() throws {
    var nth: UInt64 = 1
    var struck = true
    while struck {
      let machine = try TestMachine()
      try machine.run("passage \(nth)") {
        let range = try await machine.map(pages: 600, filled: false)
        let places = [0, 511, 512, 599]
        for page in places { try await machine.fill(range, page) }
        machine.kernel.failures.arm(.pageTableAlloc, .nth(nth))
        let target = VirtualAddress(0x5000_0000 - 4096)
        let moved = try? await machine.space.remap(
          range.start, oldBytes: range.bytes, newBytes: range.bytes, [.mayMove, .fixed],
          to: target)
        struck = machine.kernel.failures.rules.first?.strikes != 0
        machine.kernel.failures.disarm()
        #expect((moved == nil) == struck)
        let now = VirtualRange(start: moved ?? range.start, pages: 600)
        #expect(machine.space.mappings.map(\.range) == [now])
        for page in places {
          #expect(try await machine.read(now.page(page)) == TestMachine.word(page))
        }
      }
      nth += 1
    }
    #expect(nth > 3)
  }
}
