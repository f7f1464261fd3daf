import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct SwapTests {
  @Test func pagesGoOutAndComeBack_withTheirBytes() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 8)
      #expect(try await machine.space.swapOut(range) == 8)
      #expect((0..<8).allSatisfy { machine.location(range, $0).isSwap })
      #expect(machine.space.counters.swapEntries == 8)
      #expect(machine.space.counters.residentPages == 0)
      #expect(machine.mm.usedSwapPages == 8)
      try machine.check("out")
      try await machine.expectPattern(range)
      #expect(machine.space.counters.swapEntries == 0)
      #expect(machine.space.counters.majorFaults == 8)
      #expect(machine.mm.counters.swapReads == 8)
    }
  }

  @Test func withoutSwapSpace_nothingGoes() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      #expect(try await machine.space.swapOut(range) == 0)
      #expect(await machine.mm.reclaim(pages: 4) == 0)
      #expect((0..<4).allSatisfy { machine.location(range, $0).isRAM })
    }
  }

  @Test func fullSwapSpace_keepsTheRestInRAM() throws {
    let machine = try TestMachine(swapPages: 3)
    try machine.run {
      let range = try await machine.map(pages: 5)
      #expect(try await machine.space.swapOut(range) == 3)
      #expect(machine.location(range, 3).isRAM)
      try await machine.expectPattern(range)
    }
  }

  @Test func readBack_keepsTheSlotUntilTheWrite() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.swapOut(range)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      let page = try machine.frame(range)
      #expect(machine.mm.isInSwapCache(page))
      #expect(machine.mm.usedSwapPages == 1)
      // Clean and in the cache: it goes again without a write.
      let writes = machine.mm.counters.swapWrites
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range) == 1)
      #expect(machine.mm.counters.swapWrites == writes)
      try await machine.write(range.start, 99)
      #expect(machine.mm.usedSwapPages == 0)
      #expect(try await machine.read(range.start) == 99)
    }
  }

  @Test func storeAfterReadBack_isWrittenOutAnew() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.swapOut(range)
      _ = try await machine.read(range.start)
      try await machine.write(range.start, 1234)
      #expect(try await machine.space.swapOut(range) == 1)
      #expect(try await machine.read(range.start) == 1234)
    }
  }

  @Test func softwareBitsAndExclusiveness_survive() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 1)
      #expect(machine.space.entry(at: range.start).isSoftDirty)
      try await machine.space.swapOut(range)
      #expect(machine.space.entry(at: range.start).isSoftDirty)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      let entry = machine.space.entry(at: range.start)
      #expect(entry.isSoftDirty && entry.isWritable && !entry.isDirty)
      #expect(machine.mm.isExclusive(try machine.frame(range)))
    }
  }

  @Test func failedRead_getsSIGBUS_andTheBytesStay() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.swapOut(range)
      machine.kernel.failures.arm(.swapRead, .nth(1))
      await expectThrows(AccessError.sigbus(range.start, .EIO)) {
        try await machine.read(range.start)
      }
      try machine.check("after the failure")
      try await machine.expectPattern(range)
    }
  }

  @Test func failedWrite_keepsThePage() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      machine.kernel.failures.arm(.swapWrite, .nth(1))
      #expect(try await machine.space.swapOut(range) == 1)
      try machine.check("after the failure")
      try await machine.expectPattern(range)
      try await machine.space.swapOut(range)
      try await machine.expectPattern(range)
    }
  }

  @Test func unmapDiscardAndExit_freeTheSlots() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.space.swapOut(range)
      try await machine.space.unmap(range.subrange(0..<2))
      #expect(machine.mm.usedSwapPages == 4)
      try await machine.space.discard(range.subrange(2..<4))
      #expect(machine.mm.usedSwapPages == 2)
      #expect(try await machine.read(range.page(2)) == 0)
      _ = try await machine.read(range.page(4))
      await machine.space.exit()
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.usedSwapPages == 0)
      #expect(machine.mm.freeSystemPages == 255)
    }
  }

  @Test func protectedRange_keepsItsSwappedPages() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.swapOut(range)
      try await machine.space.protect(range, .read)
      try await machine.expectPattern(range)
      #expect(!machine.space.entry(at: range.start).isWritable)
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.write(range.start, 1)
      }
    }
  }

  @Test func pinnedPage_staysInRAM() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
      #expect(try await machine.space.swapOut(range) == 1)
      #expect(machine.location(range, 0).isRAM)
      machine.space.unpin(pinned)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range) == 1)
      try await machine.expectPattern(range)
    }
  }

  @Test func mirrorsAreToldBeforeAPageGoes() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      let notifier = try machine.space.insertNotifier(range, QuietMirror())
      let sequence = await notifier.readBegin()
      try await machine.space.swapOut(range.subrange(0..<1))
      #expect(notifier.readRetry(sequence))
      await notifier.remove()
    }
  }

  @Test func migrationSkipsSwapEntries() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.swapOut(range.subrange(1..<3))
      #expect(try await machine.device.take(machine.space, range) == 2)
      #expect(machine.location(range, 0).isDevice)
      #expect(machine.location(range, 1).isSwap)
      try await machine.expectPattern(range)
    }
  }

  /// R22, M07: a page whose slot nobody needs leaves the cache on its way to the device.
  @Test func pageOfTheSwapCache_leavesItForTheDevice() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.space.swapOut(range)
      try await machine.expectPattern(range)
      #expect(machine.mm.usedSwapPages == 3)
      #expect(try await machine.device.take(machine.space, range) == 3)
      #expect(machine.mm.usedSwapPages == 0)
      try await machine.expectPattern(range)
    }
  }

  /// R22: while another process needs the slot, the page can't leave the cache.
  @Test func sharedSlot_keepsThePageFromTheDevice() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.space.swapOut(range)
      let child = try await machine.space.fork("child")
      #expect(machine.mm.swapCount(slot: 1) == 2)
      try await machine.expectPattern(range)
      #expect(try await machine.device.take(machine.space, range) == 0)
      #expect((0..<2).allSatisfy { machine.location(range, $0).isRAM })
      try machine.check("after the refusal")
      // Written, it is a page of one's own, and goes.
      try await machine.write(range.start, 9)
      #expect(try await machine.device.take(machine.space, range) == 1)
      #expect(try await child.load(range.start, count: 8) == TestMachine.word(0).bytes)
      #expect(try await machine.read(range.start) == 9)
      await child.exit()
      #expect(try await machine.device.take(machine.space, range) == 2)
    }
  }

  @Test func devicePages_areNeverSwapped() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.device.take(machine.space, range)
      #expect(try await machine.space.swapOut(range) == 0)
      #expect(await machine.mm.reclaim(pages: 8) == 0)
      #expect((0..<4).allSatisfy { machine.location(range, $0).isDevice })
      try await machine.expectPattern(range)
    }
  }

  @Test func hmmRangeFault_bringsRequiredPagesBack() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 2)
      let notifier = try machine.space.insertNotifier(range, QuietMirror())
      try await machine.space.swapOut(range)
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil)
      await machine.space.mmapLock.lockShared()
      try await machine.space.hmmRangeFault(&request)
      #expect(request.pfns.allSatisfy { $0 == .none })
      request.defaultFlags = HMMPFN.requestFault
      request.sequence = await notifier.readBegin()
      try await machine.space.hmmRangeFault(&request)
      machine.space.mmapLock.unlockShared()
      #expect(request.pfns.allSatisfy { $0.isValid })
      await notifier.remove()
    }
  }

  @Test func swapOff_bringsEverythingBack() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.space.swapOut(range)
      _ = try await machine.read(range.page(3))
      try await machine.mm.swapOff()
      #expect(machine.mm.swapPages == 0)
      try await machine.expectPattern(range)
      await expectThrows(KernelError.EINVAL) { try await machine.mm.swapOff() }
      try machine.mm.swapOn(pages: 4)
      await expectThrows(KernelError.EBUSY) { try machine.mm.swapOn(pages: 4) }
      #expect(try await machine.space.swapOut(range) == 4)
    }
  }

  @Test func swapOffThatFails_leavesSwapSpaceInPlace() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.swapOut(range)
      machine.kernel.failures.arm(.swapRead, .nth(2))
      await expectThrows(KernelError.EIO) { try await machine.mm.swapOff() }
      #expect(machine.mm.swapPages == 16)
      try await machine.expectPattern(range)
    }
  }
}
