import Base
import KernelRuntime
import Testing

@testable import LinuxMM

/// A mirror that records what it is told.
private final class Listener: IntervalNotifierOperations {
  var events: [NotifierEvent] = []
  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    notifier.setSequence(sequence)
    events.append(event)
    return true
  }
}

@Suite struct DeviceExclusiveTests {
  private func take(
    _ machine: TestMachine, _ range: VirtualRange, owner: PagemapOwner? = nil
  ) async throws(KernelError) -> [PFN?] {
    await machine.space.mmapLock.lockShared()
    defer { machine.space.mmapLock.unlockShared() }
    return try await machine.space.makeDeviceExclusive(range, owner: owner)
  }

  private func drop(_ machine: TestMachine, _ pages: [PFN?]) {
    for page in pages.compactMap(\.self) {
      machine.mm.unlock(page)
      machine.mm.put(page)
    }
  }

  @Test func R66_owner_isToldAtTheBegin_andNobodyAtTheEnd() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mirror = Listener()
      let notifier = try machine.space.insertNotifier(range, mirror)
      let owner = PagemapOwner("gpu")
      self.drop(machine, try await self.take(machine, range, owner: owner))
      try await machine.expectPattern(range)
      #expect(mirror.events.map(\.kind) == [.exclusive, .exclusive])
      #expect(mirror.events[0].owner === owner && mirror.events[1].owner == nil)
      await notifier.remove()
    }
  }

  /// Who tries again because of a change must not cause the next one by trying.
  @Test func secondTry_tellsNobodyThatAccessEnds() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let owner = PagemapOwner("gpu")
      self.drop(machine, try await self.take(machine, range, owner: owner))
      let mirror = Listener()
      let notifier = try machine.space.insertNotifier(range, mirror)
      let pages = try await self.take(machine, range, owner: owner)
      let page = try #require(pages[0])
      #expect(machine.location(range) == .exclusive(page))
      #expect(mirror.events.map(\.kind) == [.exclusive])
      #expect(mirror.events.allSatisfy { $0.owner === owner })
      self.drop(machine, pages)
      await notifier.remove()
    }
  }

  @Test func R47_accessLasts_untilLockAndReferenceAreDropped() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let pages = try await self.take(machine, range)
      let page = try #require(pages[0])
      #expect(machine.mm.isLocked(page) && machine.mm.referenceCount(page) >= 2)
      var isRead = false
      let reader = machine.kernel.spawn("reader") {
        do { try await machine.expectPattern(range) } catch { Issue.record("\(error)") }
        isRead = true
      }
      for _ in 0..<5 { await machine.kernel.yield() }
      #expect(!isRead && machine.location(range) == .exclusive(page))
      self.drop(machine, pages)
      await reader.join()
      #expect(machine.location(range) == .ram(page))
      #expect(machine.space.entry(at: range.start).isWritable, "no second fault to write")
    }
  }

  @Test func N16_pageThatCantBeHad_isNeitherLockedNorReferenced() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let page = try machine.frame(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.tryLock(page))
      let pages = try await self.take(machine, range)
      #expect(pages[0] == nil && pages[1] != nil)
      #expect(machine.mm.referenceCount(page) == 1)
      machine.mm.unlock(page)
      self.drop(machine, pages)
      // Again, although the second page is the device's already: it stays so.
      let again = try await self.take(machine, range)
      #expect(!again.contains(nil))
      self.drop(machine, again)
    }
  }

  @Test func M19_twoReaders_andAnUnmap_meetNoFreedPage() throws {
    for seed in UInt64(0)..<30 {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.map(pages: 1)
        self.drop(machine, try await self.take(machine, range))
        let readers = (0..<2).map { index in
          machine.kernel.spawn("reader \(index)") {
            do throws(AccessError) {
              let word = UInt64(
                littleEndianBytes: try await machine.space.load(range.start, count: 8))
              #expect(word == TestMachine.word(0) || word == 0, "seed \(seed)")
            } catch {
              #expect(error == .segv(range.start, .mapErr), "seed \(seed)")
            }
          }
        }
        try await machine.space.discard(range)
        try await machine.space.unmap(range)
        for reader in readers { await reader.join() }
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }

  @Test func exclusivePage_staysInPlace_andGoesWithItsMapping() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let pages = try await self.take(machine, range)
      self.drop(machine, pages)
      #expect(try await machine.device.take(machine.space, range) == 0)
      #expect(machine.location(range).isRAM == false)
      #expect(machine.space.counters.residentPages == 2)
      #expect(try machine.mm.audit().exclusiveEntries == 2)
      try await machine.space.discard(range.subrange(0..<1))
      #expect(machine.space.counters.residentPages == 1)
      try await machine.space.unmap(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.referenceCount(try #require(pages[0])) == 0)
    }
  }

  /// Device memory must always be evictable: who uses a coherent page alone has to let it go, but
  /// not while its access is being programmed (R47).
  @Test func coherentPage_leavesItsDevice_andItsUserIsToldFirst() throws {
    let machine = try TestMachine()
    let coherent = try TestDevice(machine.mm, "coherent", pages: 4, kind: .deviceCoherent)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await coherent.take(machine.space, range)
      let pages = try await self.take(machine, range, owner: machine.device.owner)
      #expect(pages.compactMap(\.self).allSatisfy { coherent.range.contains($0) })
      #expect(try await coherent.evict() == 2, "locked")
      self.drop(machine, pages)
      let listener = Listener()
      let notifier = try machine.space.insertNotifier(range, listener)
      #expect(try await coherent.evict() == 0)
      #expect(listener.events.map(\.kind) == [.exclusive, .clear, .exclusive, .clear])
      #expect(listener.events.allSatisfy { $0.owner == nil })
      #expect(machine.location(range).isRAM && machine.location(range, 1).isRAM)
      try await machine.expectPattern(range)
      await notifier.remove()
    }
  }

  @Test func fork_givesThePageBackFirst_andRefusesWhileItIsProgrammed() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let pages = try await self.take(machine, range)
      await expectThrows(KernelError.EBUSY) { try await machine.space.fork("child") }
      self.drop(machine, pages)
      let child = try await machine.space.fork("child")
      #expect(machine.location(range) == .ram(try #require(pages[0])))
      try await machine.write(range.start, 3)
      #expect(
        UInt64(littleEndianBytes: try await child.load(range.start, count: 8))
          == TestMachine.word(0))
      await child.exit()
    }
  }

  @Test func mprotect_takesTheRightToWrite_andTheTouchFindsItGone() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      self.drop(machine, try await self.take(machine, range))
      try await machine.space.protect(range, .read)
      #expect(machine.space.entry(at: range.start).kind == .exclusiveRead)
      try await machine.expectPattern(range)
      #expect(!machine.space.entry(at: range.start).isWritable)
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.write(range.start, 1)
      }
    }
  }

  @Test func sharedAndReadOnlyMemory() throws {
    let machine = try TestMachine()
    try machine.run {
      // A shared page is copied first: the write that the device may do is the process's own.
      let range = try await machine.map(pages: 1)
      let child = try await machine.space.fork("child")
      let shared = try machine.frame(range)
      let pages = try await self.take(machine, range)
      #expect(pages[0] != nil && pages[0] != shared)
      self.drop(machine, pages)
      await child.exit()
      let readOnly = try await machine.map(pages: 1, .read, filled: false)
      await expectThrows(KernelError.EFAULT) { try await self.take(machine, readOnly) }
    }
  }

  @Test func hmm_faultsItBack_andASnapshotLeavesIt() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      self.drop(machine, try await self.take(machine, range))
      let notifier = try machine.space.insertNotifier(range, Listener())
      for (flags, isValid) in [(UInt64(0), false), (HMMPFN.requestFault, true)] {
        var pfns: [HMMPFN] = []
        for _ in 0..<3 where pfns.isEmpty {
          var request = HMMRange(
            notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil,
            defaultFlags: flags)
          await machine.space.mmapLock.lockShared()
          do throws(KernelError) {
            try await machine.space.hmmRangeFault(&request)
            pfns = request.pfns
          } catch {
            #expect(error == .EBUSY)
          }
          machine.space.mmapLock.unlockShared()
        }
        #expect(pfns.first?.isValid == isValid)
      }
      await notifier.remove()
    }
  }

  @Test func aDevicesWrite_keepsAPageThatWasFreedLazily() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.advise(range, .free)
      let page = try #require(try await self.take(machine, range)[0])
      machine.mm.ram.store(UInt64(0x77), at: page.index << 12)
      self.drop(machine, [page])
      // The right to write goes before the CPU takes the page back.
      try await machine.space.protect(range, .read)
      #expect(try await machine.read(range.start) == 0x77)
      await machine.mm.reclaim(pages: 10)
      #expect(try await machine.read(range.start) == 0x77)
    }
  }

  @Test func memoryFailure_takesThePageBackFirst() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try #require(try await self.take(machine, range)[0])
      self.drop(machine, [page])
      let listener = Listener()
      let notifier = try machine.space.insertNotifier(range, listener)
      try await machine.mm.memoryFailure(ofRAM: page)
      #expect(machine.location(range) == .poison)
      #expect(listener.events.map(\.kind) == [.exclusive, .clear])
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await machine.read(range.start)
      }
      await notifier.remove()
      try machine.mm.unpoison(page)
    }
  }

  @Test func freshHugePage_isSplit_andItsPartsAreHadAtOnce() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      let pages = try await self.take(machine, range.subrange(100..<110))
      #expect(pages.count == 10 && !pages.contains(nil))
      #expect(!machine.isHuge(range))
      self.drop(machine, pages)
    }
  }
}
