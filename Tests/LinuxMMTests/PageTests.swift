import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct PageTests {
  @Test func newPage_hasOneReference_andNothingElse() throws {
    let machine = try TestMachine()
    let page = try machine.mm.allocatePage()
    #expect(machine.mm.referenceCount(page) == 1)
    #expect(machine.mm.mapCount(page) == 0)
    #expect(!machine.mm.isLocked(page))
    #expect(!machine.mm.isDevicePrivate(page))
    #expect(machine.mm.pagemap(of: page) == nil)
    machine.mm.put(page)
    try machine.check()
  }

  @Test func lastPut_freesThePage_andNoEarlierOne() throws {
    let machine = try TestMachine()
    let free = machine.mm.freeSystemPages
    let page = try machine.mm.allocatePage()
    machine.mm.get(page)
    machine.mm.put(page)
    #expect(machine.mm.freeSystemPages == free - 1)
    machine.mm.put(page)
    #expect(machine.mm.freeSystemPages == free)
  }

  /// Who waits for a page lock waits for its holder, and for what that one waits for.
  @Test func pageLock_namesItsHolder_inAHang() throws {
    let machine = try TestMachine()
    var page = MemoryManager.zeroPage
    #expect(throws: RunFailure.self) {
      try machine.run {
        let kernel = machine.kernel
        page = try machine.mm.allocatePage()
        kernel.spawn("writeback") {
          await machine.mm.lock(page)
          await Completion(kernel, "a disk that went").wait()
        }
        await kernel.spawn("reader") { await machine.mm.lock(page) }.join()
      }
    }
    let blocked = machine.kernel.blockedTasks()
    let reader = try #require(blocked.first { $0.name == "reader" })
    let writeback = try #require(blocked.first { $0.name == "writeback" })
    #expect(reader.reason == .pageLock(pfn: page.rawValue))
    #expect(reader.waitsFor == [writeback.id])
    #expect(writeback.waitsFor.isEmpty)
  }

  @Test func zeroPage_isNeverHandedOut() throws {
    let machine = try TestMachine(ramPages: 8)
    var pages: [PFN] = []
    while let page = try? machine.mm.allocatePage() { pages.append(page) }
    #expect(pages.count == 7)
    #expect(!pages.contains(MemoryManager.zeroPage))
    for page in pages { machine.mm.put(page) }
    try machine.check()
  }

  @Test func allocation_failsWithENOMEM_whenRAMIsFull() throws {
    let machine = try TestMachine(ramPages: 2)
    let page = try machine.mm.allocatePage()
    #expect(throws: KernelError.ENOMEM) { try machine.mm.allocatePage() }
    machine.mm.put(page)
    machine.mm.put(try machine.mm.allocatePage())
  }

  @Test func allocation_failsAtItsInjectionPoint() throws {
    let machine = try TestMachine()
    machine.kernel.failures.arm(.pageAlloc, .nth(2))
    machine.mm.put(try machine.mm.allocatePage())
    #expect(throws: KernelError.ENOMEM) { try machine.mm.allocatePage() }
    machine.mm.put(try machine.mm.allocatePage())
  }

  @Test(arguments: [false, true])
  func pagesFreedInARow_comeBackInRisingOrder(reversed: Bool) throws {
    let machine = try TestMachine()
    var pages: [PFN] = []
    for _ in 0..<40 { pages.append(try machine.mm.allocatePage()) }
    #expect(pages == (1...40).map { PFN($0) })
    let run = Array(pages[10..<30])
    for page in reversed ? run.reversed() : run { machine.mm.put(page) }
    var again: [PFN] = []
    for _ in run { again.append(try machine.mm.allocatePage()) }
    #expect(again == run)
    for page in pages { machine.mm.put(page) }
    try machine.check()
  }

  @Test func recentlyFreedPages_areUsedBeforeUntouchedOnes() throws {
    let machine = try TestMachine()
    let first = try machine.mm.allocatePage()
    let second = try machine.mm.allocatePage()
    machine.mm.put(first)
    #expect(try machine.mm.allocatePage() == first)
    machine.mm.put(first)
    machine.mm.put(second)
  }

  @Test func freeList_survivesEveryOrderOfFrees() throws {
    for seed in UInt64(0)..<20 {
      var generator = SplitMix64(seed: seed)
      let machine = try TestMachine(ramPages: 64)
      var held: [PFN] = []
      for _ in 0..<500 {
        if generator.chance(1, in: 2), let page = try? machine.mm.allocatePage() {
          #expect(!held.contains(page), "page \(page) handed out twice, seed \(seed)")
          held.append(page)
        } else if !held.isEmpty {
          machine.mm.put(held.remove(at: generator.below(held.count)))
        }
      }
      try machine.check(held: held.sorted(), "seed \(seed)")
    }
  }

  @Test func clear_zeroesAllBytes() throws {
    let machine = try TestMachine()
    let page = try machine.mm.allocatePage()
    machine.mm.ram.fill(7, at: page.index << 12, length: 4096)
    machine.mm.clear(page)
    #expect(machine.mm.ram.bytes(at: page.index << 12, count: 4096).allSatisfy { $0 == 0 })
    machine.mm.put(page)
  }

  @Test func misuse_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      let page = try machine.mm.allocatePage()
      machine.mm.put(page)
      machine.mm.put(page)
    }
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      let page = try machine.mm.allocatePage()
      machine.mm.unlock(page)
    }
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      let page = try machine.mm.allocatePage()
      _ = machine.mm.tryLock(page)
      machine.mm.put(page)
    }
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      machine.mm.get(PFN(5))
    }
  }
}

@Suite struct PageLockTests {
  @Test func tryLock_failsWhileLocked() throws {
    let machine = try TestMachine()
    let page = try machine.mm.allocatePage()
    #expect(machine.mm.tryLock(page))
    #expect(!machine.mm.tryLock(page))
    machine.mm.unlock(page)
    #expect(machine.mm.tryLock(page))
    machine.mm.unlock(page)
    machine.mm.put(page)
  }

  @Test(arguments: UInt64(0)..<10)
  func sleepers_getTheLockOneAfterTheOther(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    let page = try machine.mm.allocatePage()
    var inside = 0
    var turns = 0
    try machine.run("seed \(seed)") { [kernel = machine.kernel, mm = machine.mm] in
      let tasks = (0..<5).map { number in
        kernel.spawn("t\(number)") {
          await mm.lock(page)
          inside += 1
          #expect(inside == 1)
          await kernel.yield()
          inside -= 1
          turns += 1
          mm.unlock(page)
        }
      }
      for task in tasks { await task.join() }
      mm.put(page)
    }
    #expect(turns == 5)
  }
}

@Suite struct LRUTests {
  @Test func newPages_areBatched_andTheBatchHoldsAReference() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try machine.frame(range)
      #expect(!machine.mm.isOnLRU(page))
      #expect(machine.mm.referenceCount(page) == 2)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.isOnLRU(page))
      #expect(machine.mm.referenceCount(page) == 1)
    }
  }

  @Test func fullBatch_isDrainedByItself() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 31)
      for page in 0..<31 { #expect(try machine.mm.isOnLRU(machine.frame(range, page))) }
    }
  }

  @Test func drain_reachesOnlyTheCPUThatRuns() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let page = try machine.frame(range)
      // Tasks run on the CPU of their number, so the next one runs elsewhere.
      await machine.kernel.spawn("other") { machine.mm.drainLRU() }.join()
      #expect(!machine.mm.isOnLRU(page))
      machine.mm.drainLRU()
      #expect(machine.mm.isOnLRU(page))
    }
  }

  @Test func pageUnmappedWhileBatched_isFreedByTheDrain() throws {
    let machine = try TestMachine()
    let free = machine.mm.freeSystemPages
    try machine.run {
      let range = try await machine.map(pages: 3)
      await machine.kernel.spawn("other") {
        do { try await machine.space.unmap(range) } catch { Issue.record("\(error)") }
      }.join()
      #expect(machine.mm.freeSystemPages == free - 3)
      await machine.mm.drainLRUOfAllCPUs()
    }
    #expect(machine.mm.freeSystemPages == free)
  }
}
