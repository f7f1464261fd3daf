import Base
import KernelRuntime
import LinuxMM
import Testing

/// Memory errors in RAM.
@Suite struct PoisonTests {
  @Test func freePage_isNeverHandedOutAgain() throws {
    for pfn in [PFN(3), PFN(200)] {
      let machine = try TestMachine()
      try machine.run {
        // Some pages free again, some never used.
        let first = try await machine.map(pages: 8)
        try await machine.space.unmap(first)
        await machine.mm.drainLRUOfAllCPUs()
        try await machine.mm.memoryFailure(ofRAM: pfn)
        #expect(machine.mm.freeSystemPages == 254)
        await expectThrows(KernelError.EHWPOISON) {
          try await machine.mm.memoryFailure(ofRAM: pfn)
        }
        let range = try await machine.map(pages: 254)
        for page in 0..<254 { #expect(try machine.frame(range, page) != pfn) }
        try await machine.space.unmap(range)
        await machine.mm.drainLRUOfAllCPUs()
        try machine.mm.unpoison(pfn)
        #expect(machine.mm.freeSystemPages == 255)
      }
    }
  }

  @Test func anonymousPage_getsSIGBUS_andUnmappingEndsIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      let page = try machine.frame(range, 1)
      try await machine.mm.memoryFailure(ofRAM: page)
      #expect(machine.location(range, 1) == .poison)
      await expectThrows(AccessError.sigbus(range.page(1), .EHWPOISON)) {
        try await machine.read(range.page(1))
      }
      await expectThrows(AccessError.sigbus(range.page(1), .EHWPOISON)) {
        try await machine.write(range.page(1), 1)
      }
      try machine.check("after the error")
      try await machine.space.protect(range, .read)
      #expect(machine.location(range, 1) == .poison)
      #expect(try await machine.device.take(machine.space, range) == 2)
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      try await machine.space.unmap(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.freeSystemPages == 254)
      #expect(machine.mm.isPoisoned(page))
    }
  }

  @Test func dontNeedAndFree_dropThePoisonEntry() throws {
    for advice in [Advice.dontNeed, .free] {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
        try await machine.space.advise(range, advice)
        #expect(try await machine.read(range.start) == 0)
        try await machine.fill(range, 0)
        try await machine.expectPattern(range)
      }
    }
  }

  @Test func pageSharedByFork_isLostForBoth() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let child = try await machine.space.fork("child")
      try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
      for space in [machine.space, child] {
        await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
          try await space.load(range.start, count: 1)
        }
      }
      let grandchild = try await child.fork("grandchild")
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await grandchild.load(range.start, count: 1)
      }
      #expect(try await child.load(range.page(1), count: 8) == TestMachine.word(1).bytes)
    }
  }

  @Test func cleanPageOfTheSwapCache_isReadAgain() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.swapOut(range)
      _ = try await machine.read(range.start)
      try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
      try machine.check("after the error")
      try await machine.expectPattern(range)
    }
  }

  @Test func dirtyPageOfTheSwapCache_isLost_untilUnmapped() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.swapOut(range)
      _ = try await machine.read(range.start)
      try await machine.write(range.start, 5)
      let page = try machine.frame(range)
      #expect(machine.mm.isInSwapCache(page))
      try await machine.mm.memoryFailure(ofRAM: page)
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await machine.read(range.start)
      }
      try machine.check("after the error")
      try await machine.mm.swapOff()
      #expect(machine.location(range) == .poison)
      try await machine.space.unmap(range)
      #expect(machine.mm.freeSystemPages == 254)
    }
  }

  @Test func pinnedPage_goesOutOfUseWhenItIsUnpinned() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
      await expectThrows(KernelError.EBUSY) {
        try await machine.mm.memoryFailure(ofRAM: pinned.pfns[0])
      }
      #expect(machine.location(range) == .poison)
      machine.space.unpin(pinned)
      #expect(machine.mm.freeSystemPages == 254)
      await expectThrows(KernelError.EINVAL) { try machine.mm.unpoison(PFN(9)) }
    }
  }

  @Test func filePages_areReadAgainOrLost() throws {
    let machine = try TestMachine()
    try machine.run {
      let file = try machine.mm.createFile("f", bytes: 8192)
      try await file.write(0, [1, 2, 3])
      try await file.writeBack()
      let start = try await machine.space.map(
        file, bytes: 8192, .readWrite, shared: true)
      #expect(try await machine.space.load(start, count: 3) == [1, 2, 3])
      let range = VirtualRange(start: start, pages: 2)
      try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
      #expect(try await machine.space.load(start, count: 3) == [1, 2, 3])
      try await machine.space.store(start, [9])
      try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
      await expectThrows(AccessError.sigbus(start, .EHWPOISON)) {
        try await machine.space.load(start, count: 3)
      }
      #expect(try await file.read(0, count: 3) == [1, 2, 3])
    }
  }

  @Test func sharedMemory_keepsTheBrokenPageAsASign() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(
        bytes: 4096, .readWrite, flags: [.anonymous, .shared])
      let range = VirtualRange(start: start, pages: 1)
      try await machine.write(start, 1)
      try await machine.mm.memoryFailure(ofRAM: try machine.frame(range))
      try await machine.space.advise(range, .dontNeed)
      await expectThrows(AccessError.sigbus(start, .EHWPOISON)) { try await machine.read(start) }
    }
  }

  @Test func errorDuringAMigration_waitsForIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try machine.frame(range)
      await machine.space.mmapLock.lockShared()
      let buffers = MigrationBuffers(pages: 1)
      let pages = try await machine.space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system), buffers)
      let failure = machine.kernel.spawn("failure") {
        do { try await machine.mm.memoryFailure(ofRAM: page) } catch { Issue.record("\(error)") }
      }
      for _ in 0..<5 { await machine.kernel.yield() }
      #expect(!failure.isFinished)
      pages.abandon()
      machine.space.mmapLock.unlockShared()
      await failure.join()
      #expect(machine.location(range) == .poison)
    }
  }

  @Test func softOffline_movesTheBytes() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let group = try machine.mm.createGroup("g")
      machine.space.join(group)
      let range = try await machine.map(pages: 3)
      try await machine.space.swapOut(range.subrange(0..<1))
      try await machine.expectPattern(range)
      for page in 0..<3 {
        let old = try machine.frame(range, page)
        try await machine.mm.softOffline(old)
        #expect(try machine.frame(range, page) != old)
        await expectThrows(KernelError.EHWPOISON) { try await machine.mm.softOffline(old) }
      }
      try await machine.expectPattern(range)
      #expect(group.charged == 3)
      let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
      await expectThrows(KernelError.EBUSY) {
        try await machine.mm.softOffline(pinned.pfns[0])
      }
      machine.space.unpin(pinned)
      try await machine.expectPattern(range)
      try await machine.mm.softOffline(PFN(250))
      #expect(machine.mm.freeSystemPages == 255 - 3 - 4)
    }
  }

  @Test func wrongFrames_areRefused() throws {
    let machine = try TestMachine()
    try machine.run {
      await expectThrows(KernelError.ENXIO) {
        try await machine.mm.memoryFailure(ofRAM: machine.device.range.start)
      }
      await expectThrows(KernelError.ENXIO) {
        try await machine.mm.softOffline(machine.device.range.start)
      }
      await expectThrows(KernelError.EBUSY) { try await machine.mm.memoryFailure(ofRAM: PFN(0)) }
      await expectThrows(KernelError.EBUSY) { try await machine.mm.softOffline(PFN(0)) }
    }
  }
}
