import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct ReclaimTests {
  @Test func moreMemoryThanRAM_fitsWithSwapSpace() throws {
    let machine = try TestMachine(ramPages: 32, swapPages: 128)
    try machine.run {
      let range = try await machine.map(pages: 100)
      try await machine.expectPattern(range)
      #expect(machine.mm.counters.directReclaims > 0)
      #expect(machine.mm.counters.swapWrites >= 69)
    }
  }

  @Test func pagesInUse_getASecondChance() throws {
    let machine = try TestMachine(ramPages: 64, swapPages: 128)
    try machine.run {
      let range = try await machine.map(pages: 8)
      await machine.mm.drainLRUOfAllCPUs()
      // Takes the marks of use off; then only what is touched again is kept.
      #expect(await machine.mm.reclaim(pages: 1) == 1)
      for page in 4..<8 { _ = try await machine.read(range.page(page)) }
      #expect(await machine.mm.reclaim(pages: 3) == 3)
      #expect((4..<8).allSatisfy { machine.location(range, $0).isRAM })
      #expect((0..<4).allSatisfy { machine.location(range, $0).isSwap })
    }
  }

  @Test func fullRAM_withoutSwapSpace_failsTheAccess() throws {
    let machine = try TestMachine(ramPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 10, filled: false)
      for page in 0..<7 { try await machine.fill(range, page) }
      await expectThrows(AccessError.outOfMemory(range.page(7))) {
        try await machine.fill(range, 7)
      }
      for page in 0..<7 { #expect(try await machine.read(range.page(page)) != 0) }
    }
  }

  @Test func largestProcess_isKilled_andTheOtherGoesOn() throws {
    let machine = try TestMachine(ramPages: 32, kills: true)
    try machine.run {
      let range = try await machine.map(pages: 20)
      let other = try machine.mm.createAddressSpace("small")
      let start = try await other.map(bytes: 20 << 12, .readWrite)
      for page in 0..<16 {
        try await other.store(start + UInt64(page) << 12, [1])
      }
      #expect(machine.mm.counters.kills == 1)
      #expect(machine.space.isUnstable)
      #expect(!other.isUnstable)
      await expectThrows(AccessError.sigbus(range.start, .EFAULT)) {
        try await machine.write(range.start, 1)
      }
    }
  }

  /// R43: pages on a device count, so the process that has most there is the victim; its device
  /// memory is free at once.
  @Test func devicePagesCount_inTheChoiceOfTheVictim() throws {
    let machine = try TestMachine(ramPages: 24, kills: true)
    try machine.run {
      let range = try await machine.map(pages: 16)
      try await machine.device.take(machine.space, range)
      let other = try machine.mm.createAddressSpace("in RAM")
      let start = try await other.map(bytes: 40 << 12, .readWrite)
      for page in 0..<12 { try await other.store(start + UInt64(page) << 12, [1]) }
      #expect(machine.space.badness > other.badness)
      await machine.mm.kill(machine.space)
      #expect(machine.device.pagemap.references == 0)
      #expect(machine.space.counters.residentPages == 0)
    }
  }

  @Test func processThatNeedsTooMuch_killsItself() throws {
    let machine = try TestMachine(ramPages: 16, kills: true)
    try machine.run {
      let range = try await machine.map(pages: 40, filled: false)
      var failure: AccessError?
      for page in 0..<40 where failure == nil {
        do throws(AccessError) {
          try await machine.space.store(range.page(page), [1])
        } catch {
          failure = error
        }
      }
      #expect(failure != nil)
      #expect(machine.mm.counters.kills == 1)
      #expect(machine.mm.freeSystemPages == 15)
    }
  }

  /// A mirror that would have to sleep is no hindrance for ever: the reaper comes again.
  @Test func reaperComesAgain_whenALockIsHeld() throws {
    let machine = try TestMachine(ramPages: 32, kills: true)
    try machine.run {
      _ = try await machine.map(pages: 8)
      await machine.space.mmapLock.lock()
      let killer = machine.kernel.spawn("killer") { await machine.mm.kill(machine.space) }
      await killer.join()
      #expect(machine.space.counters.residentPages == 8)
      machine.space.mmapLock.unlock()
      await machine.kernel.sleep(200_000_000)
      #expect(machine.space.counters.residentPages == 0)
    }
  }

  @Test func faultsDuringReclaim_seeTheirBytes() throws {
    for seed in UInt64(0)..<20 {
      let machine = try TestMachine(
        ramPages: 24, choices: RandomWalkChoices(seed: seed), swapPages: 64)
      let comment = "replay: seed \(seed)"
      try machine.run(comment) {
        let range = try await machine.map(pages: 16)
        let reclaimer = machine.kernel.spawn("reclaimer") {
          for _ in 0..<12 {
            _ = await machine.mm.reclaim(pages: 5)
            await machine.kernel.yield()
          }
        }
        let driver = machine.kernel.spawn("driver") {
          for _ in 0..<4 {
            _ = try? await machine.device.take(machine.space, range.subrange(2..<9))
            _ = try? await machine.device.evict()
          }
        }
        let writers = (0..<2).map { owner in
          machine.kernel.spawn("writer \(owner)") {
            do {
              for round in 0..<6 {
                for page in stride(from: owner, to: 16, by: 2) {
                  let word = UInt64(round * 100 + page)
                  try await machine.write(range.page(page), word)
                  #expect(try await machine.read(range.page(page)) == word, "\(comment)")
                }
              }
            } catch { Issue.record("\(error) \(comment)") }
          }
        }
        while !(writers + [reclaimer, driver]).allSatisfy(\.isFinished) {
          #expect(try machine.mm.audit(isQuiet: false).problems == [], "\(comment)")
          await machine.kernel.yield()
        }
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }
}
