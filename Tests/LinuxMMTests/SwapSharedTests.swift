import Base
import KernelRuntime
import LinuxMM
import Testing

/// Shared memory and huge pages in swap space.
@Suite struct SwapSharedTests {
  private func shared(_ machine: TestMachine, _ pages: Int) async throws -> VirtualRange {
    let start = try await machine.space.map(
      bytes: UInt64(pages) << 12, .readWrite, flags: [.anonymous, .shared])
    let range = VirtualRange(start: start, pages: pages)
    for page in 0..<pages { try await machine.fill(range, page) }
    await machine.mm.drainLRUOfAllCPUs()
    return range
  }

  @Test func sharedMemory_goesOut_andEveryProcessGetsItBack() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await self.shared(machine, 4)
      let child = try await machine.space.fork("child")
      #expect(try await child.read(range.start) == TestMachine.word(0))
      #expect(await machine.mm.reclaim(pages: 4) == 4)
      #expect(machine.mm.usedSwapPages == 4)
      #expect(machine.location(range) == .none)
      #expect(machine.space.counters.sharedMemoryPages == 0)
      try machine.check("out")
      try await child.write(range.page(1), 77)
      #expect(machine.mm.usedSwapPages == 3)
      #expect(try await machine.read(range.page(1)) == 77)
      for page in [0, 2, 3] {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      #expect(machine.mm.usedSwapPages == 0)
      await child.exit()
    }
  }

  @Test func advice_movesWhatOneProcessMaps() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await self.shared(machine, 2)
      #expect(try await machine.space.swapOut(range) == 2)
      try await machine.expectPattern(range)
      await machine.mm.drainLRUOfAllCPUs()
      let child = try await machine.space.fork("child")
      #expect(try await child.read(range.start) == TestMachine.word(0))
      #expect(try await machine.space.swapOut(range) == 1, "the first page is another's too")
      await child.exit()
    }
  }

  @Test func unmapping_andTruncation_freeTheSlots() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let file = try machine.mm.createFile("f", bytes: 4 << 12, kind: .sharedMemory)
      for page in 0..<4 as Range<UInt64> {
        try await file.write(page << 12, TestMachine.word(Int(page)).bytes)
      }
      await machine.mm.drainLRUOfAllCPUs()
      #expect(await machine.mm.reclaim(pages: 4) == 4)
      #expect(file.cachedPages == 0 && file.swappedSlot(3) != nil)
      try await file.punchHole(0..<4096)
      #expect(machine.mm.usedSwapPages == 3)
      #expect(try await file.read(0, count: 8) == UInt64(0).bytes)
      // The end falls into a page in swap space: the rest of that page is gone.
      try await file.truncate(to: 2 << 12 + 4)
      #expect(try await file.read(1 << 12, count: 8) == TestMachine.word(1).bytes)
      try await file.truncate(to: 3 << 12)
      #expect(
        try await file.read(2 << 12, count: 8)
          == Array(TestMachine.word(2).bytes.prefix(4)) + [0, 0, 0, 0])
      try await file.evict()
      #expect(machine.mm.usedSwapPages == 0)
      let range = try await self.shared(machine, 3)
      #expect(await machine.mm.reclaim(pages: 3) == 3)
      try await machine.space.unmap(range)
      #expect(machine.mm.usedSwapPages == 0)
    }
  }

  @Test func failures_loseNothing() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await self.shared(machine, 2)
      machine.kernel.failures.arm(.swapWrite, .nth(1))
      #expect(await machine.mm.reclaim(pages: 1) <= 1)
      machine.kernel.failures.disarm()
      await machine.mm.drainLRUOfAllCPUs()
      while await machine.mm.reclaim(pages: 2) > 0 {}
      #expect(machine.mm.usedSwapPages == 2)
      machine.kernel.failures.arm(.swapRead, .nth(1))
      await expectThrows(AccessError.sigbus(range.start, .EIO)) {
        try await machine.read(range.start)
      }
      machine.kernel.failures.disarm()
      #expect(machine.mm.usedSwapPages == 2)
      try await machine.expectPattern(range)
    }
  }

  @Test func swapOff_bringsSharedMemoryBack() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await self.shared(machine, 3)
      #expect(await machine.mm.reclaim(pages: 3) == 3)
      try await machine.mm.swapOff()
      try await machine.expectPattern(range)
    }
  }

  @Test func slots_areChargedToTheGroupOfThePage() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let group = try machine.joinGroup(swapLimit: 2)
      let range = try await self.shared(machine, 4)
      #expect(group.charged == 4)
      #expect(await machine.mm.reclaim(pages: 4) == 2)
      #expect(group.charged == 2 && group.swapped == 2)
      try await machine.expectPattern(range)
      #expect(group.charged == 4 && group.swapped == 0)
      await machine.space.exit()
    }
  }

  @Test func aReaderMeetsThePageOnItsWay() throws {
    for seed in 0..<40 as Range<UInt64> {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed), swapPages: 16)
      try machine.run("seed \(seed)") {
        let range = try await self.shared(machine, 3)
        let child = try await machine.space.fork("child")
        let writer = machine.kernel.spawn("writer") {
          do {
            for page in 0..<3 {
              let word = try await child.read(range.page(page))
              #expect(word == TestMachine.word(page), "seed \(seed)")
              try await child.write(range.page(page), word + 100)
            }
          } catch { Issue.record("seed \(seed): \(error)") }
        }
        for _ in 0..<3 { await machine.mm.reclaim(pages: 2) }
        await writer.join()
        for page in 0..<3 {
          let word = try await machine.read(range.page(page))
          #expect(word == TestMachine.word(page) + 100, "seed \(seed)")
        }
        await child.exit()
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }

  @Test func hugePage_isSplit_andItsPartsGo() throws {
    let machine = try TestMachine.huge(swapPages: 1024)
    try machine.run {
      let range = try await machine.mapHuge()
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range) == 512)
      #expect((0..<512).allSatisfy { machine.location(range, $0).isSwap })
      #expect(machine.mm.hugeCounters.splits == 1)
      try await machine.expectPattern(range, step: 37)
      // Under pressure it goes too, once it was not used for a while.
      try await machine.space.unmap(range)
      let second = try await machine.mapHuge()
      await machine.mm.drainLRUOfAllCPUs()
      while await machine.mm.reclaim(pages: 256) > 0 {}
      #expect(machine.space.counters.swapEntries == 512)
      try await machine.expectPattern(second, step: 37)
    }
  }

  @Test func hugePage_staysWhole_whilePinned_orWithoutSwapSpace() throws {
    for swapPages in [0, 1024] {
      let machine = try TestMachine.huge(swapPages: swapPages)
      try machine.run {
        let range = try await machine.mapHuge()
        await machine.mm.drainLRUOfAllCPUs()
        let pinned = try await machine.space.pin(range.start, pages: 1, write: false)
        #expect(try await machine.space.swapOut(range) == 0)
        #expect(machine.isHuge(range))
        machine.mm.unpin(pinned)
        #expect(try await machine.space.swapOut(range) == (swapPages > 0 ? 512 : 0))
        try await machine.expectPattern(range, step: 37)
      }
    }
  }
}
