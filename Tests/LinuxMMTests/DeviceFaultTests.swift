import Base
import KernelRuntime
import LinuxMM
import Testing

/// CPU faults on device-private pages and on pages that move.
@Suite struct DeviceFaultTests {
  @Test func R32_anyAccess_bringsThePageBack() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      try await machine.space.store(range.page(1) + 8, [1])
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      #expect(machine.location(range, 0).isRAM && machine.location(range, 1).isRAM)
      #expect(machine.space.counters.deviceFaults == 2)
    }
  }

  @Test func sigbus_leavesThePageOnTheDevice_forALaterTry() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      machine.device.answer = .sigbus(.EIO)
      await expectThrows(AccessError.sigbus(range.start, .EIO)) {
        try await machine.read(range.start)
      }
      #expect(machine.location(range).isDevice)
      try machine.check()
      machine.device.answer = nil
      #expect(try await machine.read(range.start) == TestMachine.word(0))
    }
  }

  @Test func V03_shortageDuringFaultBack_isOutOfMemory_notSIGBUS() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      machine.kernel.failures.arm(.pageAlloc, .nth(1))
      await expectThrows(AccessError.outOfMemory(range.start)) {
        try await machine.read(range.start)
      }
      #expect(machine.location(range).isDevice)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
    }
  }

  @Test func driverThatDoesNothing_endsInAnError_notInAHang() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      for answer in [FaultOutcome.done, .retry] {
        machine.device.answer = answer
        await expectThrows(AccessError.sigbus(range.start, .EDEADLK)) {
          try await machine.read(range.start)
        }
      }
      #expect(machine.kernel.now > 15_000_000_000, "time passed for whom the driver waits")
      machine.device.answer = nil
      #expect(try await machine.read(range.start) == TestMachine.word(0))
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func M08_M22_manyTasksOnOnePage_bringItBackOnce(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      machine.device.duringFault = { await machine.kernel.yield() }
      let tasks = (0..<6).map { number in
        machine.kernel.spawn("t\(number)") {
          do {
            #expect(try await machine.read(range.start) == TestMachine.word(0))
          } catch { Issue.record("seed \(seed): \(error)") }
        }
      }
      for task in tasks { await task.join() }
      #expect(machine.device.faults == 1, "seed \(seed)")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func M20_waitersOnAMigrationEntry_doNotDefeatTheMigration(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 1)
      let space = machine.space
      await space.mmapLock.lockShared()
      let pages = try await space.migrateSetup(
        MigrationRequest(range, owner: machine.device.owner, select: .system),
        MigrationBuffers(pages: 1))
      var answers = 0
      let tasks = (0..<5).map { number in
        machine.kernel.spawn("t\(number)") {
          do {
            #expect(try await machine.read(range.start) == TestMachine.word(0))
            answers += 1
          } catch { Issue.record("seed \(seed): \(error)") }
        }
      }
      for _ in 0..<8 { await machine.kernel.yield() }
      #expect(answers == 0, "nobody reads a page that moves")
      machine.device.copyToDevice(pages)
      let moved = await pages.commit()
      #expect(moved[source: 0].migrates, "seed \(seed): success must not depend on the waiters")
      moved.finalize()
      space.mmapLock.unlockShared()
      for task in tasks { await task.join() }
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test(arguments: UInt64(0)..<60)
  func M09_unmapAndReuseUnderAFault_isNoticed(seed: UInt64) throws {
    let machine = try TestMachine(devicePages: 1, choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range.subrange(0..<1))
      let reader = machine.kernel.spawn("reader") {
        do {
          #expect(try await machine.read(range.page(0)) == TestMachine.word(0), "seed \(seed)")
        } catch {
          #expect(error as? AccessError == .segv(range.page(0), .mapErr), "seed \(seed)")
        }
      }
      let other = machine.kernel.spawn("other") {
        do {
          try await machine.space.unmap(range.subrange(0..<1))
          try await machine.device.take(machine.space, range.subrange(1..<2))
          #expect(try await machine.read(range.page(1)) == TestMachine.word(1), "seed \(seed)")
        } catch { Issue.record("seed \(seed): \(error)") }
      }
      await reader.join()
      await other.join()
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func V01_migrationsOfOneRange_neverWaitForEachOther(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 8)
      let second = try TestDevice(machine.mm, "second", pages: 16)
      let tasks = [machine.device, second].map { device in
        machine.kernel.spawn(device.owner.name) {
          do { try await device.take(machine.space, range) } catch {
            Issue.record("seed \(seed): \(error)")
          }
        }
      }
      for task in tasks { await task.join() }
      try await machine.expectPattern(range, "seed \(seed)")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func twoDevices_pageOfOne_isNotTakenByTheOther() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let second = try TestDevice(machine.mm, "second", pages: 16)
      try await machine.device.take(machine.space, range)
      #expect(try await second.take(machine.space, range) == 0)
      try await machine.expectPattern(range)
      #expect(machine.device.faults == 2 && second.faults == 0)
    }
  }

  @Test func traceShowsTheSevenStepsInOrder() throws {
    let machine = try TestMachine(traced: true)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
    }
    let names = machine.kernel.trace.events.map(\.kind.name)
    let steps = names.drop { $0 != "migrate_vma_setup" }
    #expect(
      Array(steps) == [
        "migrate_vma_setup", "invalidate_range_start", "invalidate_range_end",
        "migrate_vma_collect", "zone_device_page_init", "migrate_vma_pages",
        "migrate_vma_finalize",
      ])
  }
}

/// `migrate_device_range`: checks.md Appendix B, 13.
@Suite struct MigrateDeviceRangeTests {
  @Test func evict_bringsBackEveryPage_ofEveryProcess() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 20)
      let second = try machine.mm.createAddressSpace("q")
      let start = try await second.map(bytes: 3 << 12, .readWrite)
      let other = VirtualRange(start: start, pages: 3)
      for page in 0..<3 { try await second.store(other.page(page), [UInt8(page + 1)]) }
      try await machine.device.take(machine.space, range)
      try await machine.device.take(second, other)
      #expect(machine.device.pagemap.references == 23)
      #expect(try await machine.device.evict() == 0)
      #expect(machine.device.faults == 0)
      for page in 0..<20 { #expect(machine.location(range, page).isRAM) }
      try await machine.expectPattern(range)
      for page in 0..<3 {
        #expect(try await second.load(other.page(page), count: 1) == [UInt8(page + 1)])
      }
      await machine.mm.memunmap(machine.device.pagemap)
    }
  }

  @Test func R30_freeAndLockedPages_areLeftOut() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.device.take(machine.space, range)
      let locked = try machine.frame(range, 1)
      #expect(machine.mm.tryLock(locked))
      let buffers = MigrationBuffers(pages: machine.device.range.count)
      let pages = await machine.mm.migrateDeviceSetup(machine.device.range, buffers)
      #expect(pages.collected == 2 && pages.count == 128)
      try machine.device.copyToRAM(pages)
      await pages.commit().finalize()
      machine.mm.unlock(locked)
      #expect(machine.device.pagemap.references == 1)
      #expect(try await machine.device.evict() == 0)
      try await machine.expectPattern(range)
    }
  }

  /// Who reads a trace finds a migration's events by where its range begins.
  @Test func everyEventNamesTheFirstFrame() throws {
    let machine = try TestMachine(traced: true)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      #expect(try await machine.device.evict() == 0)
    }
    let steps: [TraceKind] = [.migrateSetup, .migrateCollect, .migrateCommit, .migrateFinalize]
    let named = machine.kernel.trace.events.filter { $0.a == machine.device.range.start.rawValue }
    #expect(named.map(\.kind).filter(steps.contains).prefix(4) == steps[...])
  }

  @Test func unmapDuringEviction_losesNoPage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      try await machine.device.take(machine.space, range)
      let buffers = MigrationBuffers(pages: machine.device.range.count)
      let pages = await machine.mm.migrateDeviceSetup(machine.device.range, buffers)
      try await machine.space.unmap(range.subrange(0..<2))
      try machine.device.copyToRAM(pages)
      await pages.commit().finalize()
      #expect(machine.space.counters.residentPages == 1)
      #expect(machine.device.pagemap.references == 0)
      #expect(try await machine.read(range.page(2)) == TestMachine.word(2))
    }
  }

  @Test func pageFoundAgain_afterSplitsAndMerges() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 9)
      try await machine.device.take(machine.space, range)
      try await machine.space.protect(range.subrange(2..<4), .read)
      try await machine.space.unmap(range.subrange(5..<6))
      try await machine.space.protect(range.subrange(7..<8), .none)
      #expect(try await machine.device.evict() == 0)
      try await machine.space.protect(range.subrange(2..<4), .readWrite)
      try await machine.space.protect(range.subrange(7..<8), .readWrite)
      for page in [0, 1, 2, 3, 4, 6, 7, 8] {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
    }
  }

  @Test(arguments: UInt64(0)..<60)
  func evictionAgainstFaultsAndUnmaps_keepsBytes(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 6)
      try await machine.device.take(machine.space, range)
      let tasks = [
        machine.kernel.spawn("evict") {
          do { try await machine.device.evict() } catch { Issue.record("\(error)") }
        },
        machine.kernel.spawn("reader") {
          do {
            for page in [3, 1, 4] {
              #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
            }
          } catch { Issue.record("seed \(seed): \(error)") }
        },
        machine.kernel.spawn("unmap") {
          do { try await machine.space.unmap(range.subrange(5..<6)) } catch {
            Issue.record("\(error)")
          }
        },
      ]
      for task in tasks { await task.join() }
      try await machine.expectPattern(range.subrange(0..<5), "seed \(seed)")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }
}
