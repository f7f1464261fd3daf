import Base
import KernelRuntime
import LinuxMM
import Testing

/// What `fork`, `exec` and exits do with pages in RAM and on a device.
@Suite struct ForkTests {
  @Test func childSeesTheBytes_andEachSideWritesItsOwn() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      let child = try await machine.space.fork("child")
      #expect(child.counters.residentPages == 4)
      try await child.write(range.page(0), 7)
      try await machine.write(range.page(1), 8)
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      #expect(try await child.read(range.page(1)) == TestMachine.word(1))
      #expect(try await child.read(range.page(0)) == 7)
      #expect(try await machine.read(range.page(1)) == 8)
      #expect(child.entry(at: range.page(2)).location == machine.location(range, 2))
      #expect(child.counters.copiesOnWrite == 1)
      try machine.check()
      await child.exit()
    }
  }

  @Test func bothEntriesLoseWrite_andCountsRise() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      await machine.mm.drainLRUOfAllCPUs()
      let pfn = try machine.frame(range)
      #expect(machine.mm.isExclusive(pfn))
      let child = try await machine.space.fork("child")
      #expect(!machine.space.entry(at: range.start).isWritable)
      #expect(!child.entry(at: range.start).isWritable)
      #expect(machine.mm.mapCount(pfn) == 2)
      #expect(machine.mm.referenceCount(pfn) == 2)
      #expect(!machine.mm.isExclusive(pfn))
      await child.exit()
      // The last user writes in place.
      try await machine.write(range.start, 5)
      #expect(try machine.frame(range) == pfn)
      #expect(machine.mm.isExclusive(pfn))
    }
  }

  @Test func parentMayExitFirst() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.device.take(machine.space, range.subrange(2..<4))
      let child = try await machine.space.fork("child")
      await machine.space.exit()
      try machine.check()
      for page in 0..<6 {
        #expect(try await child.read(range.page(page)) == TestMachine.word(page))
      }
      try await child.write(range.page(3), 9)
      #expect(child.counters.copiesOnWrite == 0)
      await child.exit()
      await machine.mm.drainLRUOfAllCPUs()
    }
    #expect(machine.mm.freeSystemPages == 255)
  }

  @Test func devicePages_areShared_andOneTouchBringsThemBackForBoth() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      let page = try machine.frame(range)
      let child = try await machine.space.fork("child")
      #expect(machine.space.entry(at: range.start).kind == .deviceRead)
      #expect(child.entry(at: range.start).kind == .deviceRead)
      #expect(machine.mm.referenceCount(page) == 2)
      #expect(child.counters.devicePages == 2)
      try machine.check()
      #expect(try await child.read(range.start) == TestMachine.word(0))
      #expect(machine.device.faults == 1)
      #expect(machine.location(range) == child.entry(at: range.start).location)
      #expect(machine.location(range).isRAM)
      try machine.check()
      try await machine.write(range.start, 3)
      #expect(try await child.read(range.start) == TestMachine.word(0))
      #expect(machine.device.faults == 1)
      // A write to what is still on the device: it comes back for both, then the writer copies.
      try await child.write(range.page(1), 4)
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      #expect(machine.device.pagemap.references == 0)
      await child.exit()
    }
  }

  @Test func sharedPages_migrateForBoth_withoutTheRightToWrite() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let child = try await machine.space.fork("child")
      #expect(try await machine.device.take(child, range) == 3)
      for space in [machine.space, child] {
        #expect(space.entry(at: range.start).kind == .deviceRead)
        #expect(space.counters.devicePages == 3)
      }
      try machine.check()
      try await machine.device.evict()
      for page in 0..<3 {
        #expect(try await child.read(range.page(page)) == TestMachine.word(page))
      }
      try await machine.expectPattern(range)
      await child.exit()
    }
  }

  @Test func pinnedPage_isCopiedAtFork_andStaysTheParents() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
      let child = try await machine.space.fork("child")
      #expect(machine.location(range) == .ram(pinned.pfns[0]))
      #expect(child.entry(at: range.start).location != .ram(pinned.pfns[0]))
      // What the device writes, the parent sees; what the parent writes, the device sees.
      try await machine.write(range.start, 6)
      #expect(machine.location(range) == .ram(pinned.pfns[0]))
      #expect(try await child.read(range.start) == TestMachine.word(0))
      machine.space.unpin(pinned)
      await child.exit()
    }
  }

  @Test func migrationEntries_areCopied_andBothFindThePage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let child = try await machine.space.fork("child")
      let buffers = MigrationBuffers(pages: 2)
      await machine.space.mmapLock.lockShared()
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system), buffers)
      // The child forks while its pages are on their way.
      let grandchild = try await child.fork("grandchild")
      #expect(grandchild.entry(at: range.start).kind == .migrationRead)
      machine.device.copyToDevice(pages)
      await pages.commit().finalize()
      machine.space.mmapLock.unlockShared()
      for space in [machine.space, child, grandchild] {
        #expect(space.entry(at: range.page(1)).kind == .deviceRead)
      }
      try machine.check()
      #expect(try await grandchild.read(range.page(1)) == TestMachine.word(1))
      await grandchild.exit()
      await child.exit()
    }
  }

  @Test func advice_decidesWhatTheChildGets() throws {
    let machine = try TestMachine()
    try machine.run {
      let space = machine.space
      let range = try await machine.map(pages: 4)
      try await space.advise(range.subrange(0..<1), .dontFork)
      try await space.advise(range.subrange(1..<2), .wipeOnFork)
      let child = try await space.fork("child")
      await expectThrows(AccessError.segv(range.page(0), .mapErr)) {
        try await child.read(range.page(0))
      }
      #expect(try await child.read(range.page(1)) == 0)
      #expect(try await child.read(range.page(2)) == TestMachine.word(2))
      await child.exit()
      try await space.advise(range.subrange(0..<1), .doFork)
      try await space.advise(range.subrange(1..<2), .keepOnFork)
      #expect(space.mappings.count == 1)
      await expectThrows(KernelError.EINVAL) {
        try await space.advise(VirtualRange(range.start + 1, range.end), .dontFork)
      }
      await expectThrows(KernelError.ENOMEM) {
        try await space.advise(VirtualRange(range.start, range.end + 4096), .dontFork)
      }
    }
  }

  @Test func exec_endsTheOldImage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.device.take(machine.space, range.subrange(0..<2))
      let child = try await machine.space.fork("child")
      let fresh = try await child.exec()
      #expect(fresh.mappings.isEmpty && child.isExiting)
      await expectThrows(KernelError.ESRCH) { try await child.fork("late") }
      await expectThrows(KernelError.ESRCH) { try await child.exec() }
      try await machine.expectPattern(range)
      await fresh.exit()
    }
  }

  @Test(arguments: [InjectionPoint.pageAlloc, .pageTableAlloc])
  func failedFork_leavesTheParentWhole(point: InjectionPoint) throws {
    var nth: UInt64 = 0
    var failures = 0
    while failures == Int(nth) {
      nth += 1
      let machine = try TestMachine()
      try machine.run("\(point.name) \(nth)") {
        // Three mappings far apart, so that tables are needed again and again.
        var ranges: [VirtualRange] = []
        for place in [0x4000_0000, 0x40_0000_0000, 0x4000_0000_0000] as [UInt64] {
          let start = try await machine.space.map(
            bytes: 3 << 12, .readWrite, at: VirtualAddress(place))
          ranges.append(VirtualRange(start: start, pages: 3))
          for page in 0..<3 { try await machine.fill(ranges[ranges.count - 1], page) }
        }
        try await machine.device.take(machine.space, ranges[1].subrange(0..<2))
        let pinned = try await machine.space.pin(ranges[2].start, pages: 2, write: true)
        machine.kernel.failures.arm(point, .nth(nth))
        do throws(KernelError) {
          let child = try await machine.space.fork("child")
          machine.kernel.failures.disarm()
          await child.exit()
        } catch {
          #expect(error == .ENOMEM)
          failures += 1
          machine.kernel.failures.disarm()
        }
        #expect(machine.mm.addressSpaces.count == 1)
        try machine.check("\(point.name) \(nth)")
        machine.space.unpin(pinned)
        for range in ranges {
          try await machine.expectPattern(range)
          for page in 0..<3 { try await machine.fill(range, page) }
        }
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
    #expect(failures >= 2, "\(point.name) was passed \(failures) times")
  }
}
