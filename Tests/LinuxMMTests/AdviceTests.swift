import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct AdviceTests {
  @Test(arguments: Advice.allCases)
  func badRanges_getTheKernelsErrors(advice: Advice) throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 4)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.advise(VirtualRange(range.start + 1, range.end), advice)
      }
      try await machine.space.advise(VirtualRange(range.start, range.start), advice)
      try await machine.space.unmap(range.subrange(1..<2))
      await expectThrows(KernelError.ENOMEM) { try await machine.space.advise(range, advice) }
      // The end is rounded up.
      try await machine.space.advise(VirtualRange(range.page(2), range.page(3) + 1), advice)
    }
  }

  @Test func hole_doesntKeepTheRestFromBeingDone() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.unmap(range.subrange(1..<2))
      await expectThrows(KernelError.ENOMEM) { try await machine.space.advise(range, .dontNeed) }
      #expect(try await machine.read(range.page(3)) == 0)
    }
  }

  @Test(arguments: [Advice.dontNeed, .free, .cold, .pageOut])
  func lockedMapping_refuses(advice: Advice) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.lockMemory(range)
      await expectThrows(KernelError.EINVAL) { try await machine.space.advise(range, advice) }
      try await machine.expectPattern(range)
    }
  }

  @Test func dontNeed_partlyOnTheDevice_dropsBoth() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.device.take(machine.space, range.subrange(1..<4))
      try await machine.space.swapOut(range.subrange(4..<5))
      try await machine.space.advise(range.subrange(0..<5), .dontNeed)
      #expect(machine.device.pagemap.references == 0)
      #expect(machine.mm.usedSwapPages == 0)
      for page in 0..<5 { #expect(try await machine.read(range.page(page)) == 0) }
      #expect(try await machine.read(range.page(5)) == TestMachine.word(5))
    }
  }

  @Test func freedPages_goUnderPressure_unlessWritten() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.advise(range, .free)
      try await machine.expectPattern(range)
      try await machine.write(range.page(1), 77)
      let reclaimed = await machine.mm.reclaim(pages: 4)
      #expect(reclaimed == 3)
      #expect(try await machine.read(range.page(1)) == 77)
      for page in [0, 2, 3] { #expect(try await machine.read(range.page(page)) == 0) }
    }
  }

  @Test func freedPages_keepTheirMarkOnTheWayOfAMigration() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.advise(range, .free)
      try await machine.device.take(machine.space, range)
      try await machine.expectPattern(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(await machine.mm.reclaim(pages: 2) == 2)
      #expect(try await machine.read(range.start) == 0)
    }
  }

  @Test func free_leavesDevicePagesAlone_andDropsSwapEntries() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.device.take(machine.space, range.subrange(0..<2))
      try await machine.space.swapOut(range.subrange(2..<4))
      try await machine.space.advise(range, .free)
      #expect(machine.mm.usedSwapPages == 0)
      #expect(machine.location(range, 0).isDevice)
      try await machine.expectPattern(range.subrange(0..<2))
      #expect(try await machine.read(range.page(2)) == 0)
    }
  }

  @Test func coldPages_goFirst() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.space.advise(range.subrange(4..<6), .cold)
      #expect(await machine.mm.reclaim(pages: 2) == 2)
      #expect(machine.location(range, 4).isSwap && machine.location(range, 5).isSwap)
      #expect((0..<4).allSatisfy { machine.location(range, $0).isRAM })
    }
  }

  @Test func willNeed_readsIntoTheSwapCache() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.swapOut(range)
      try await machine.space.advise(range, .willNeed)
      #expect(machine.location(range, 0).isSwap)
      #expect(machine.mm.counters.swapReads == 3)
      try await machine.expectPattern(range)
      #expect(machine.space.counters.majorFaults == 0)
      #expect(machine.mm.counters.swapReads == 3)
    }
  }

  @Test func populate_faultsIn_orSaysWhyNot() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      try await machine.space.advise(range, .populateRead)
      #expect(machine.location(range, 2) == .zero)
      try await machine.space.advise(range, .populateWrite)
      #expect(machine.location(range, 2).isRAM)
      try await machine.space.protect(range, .read)
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.advise(range, .populateWrite)
      }
      let watched = try await machine.map(pages: 1, filled: false)
      try await machine.space.watchMissing(watched)
      await expectThrows(KernelError.EFAULT) {
        try await machine.space.advise(watched, .populateRead)
      }
    }
  }
}
