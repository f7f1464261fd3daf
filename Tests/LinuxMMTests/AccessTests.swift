import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct AccessTests {
  @Test(arguments: [1, 7, 4095, 4096, 4097, 12289])
  func storeThenLoad_atAnyAddressAndLength(count: Int) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6, filled: false)
      for offset in [UInt64(0), 1, 4090, 4095] {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(offset)) }
        try await machine.space.store(range.start + offset, bytes)
        #expect(try await machine.space.load(range.start + offset, count: count) == bytes)
      }
    }
  }

  @Test func neverWrittenMemory_readsAsZero_throughTheZeroPage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      #expect(try await machine.read(range.start) == 0)
      #expect(machine.location(range) == .zero)
      #expect(machine.space.counters.residentPages == 0)
    }
  }

  @Test func writeToTheZeroPage_makesAPageOfOnesOwn() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      _ = try await machine.read(range.start)
      try await machine.space.store(range.start + 100, [5])
      #expect(machine.location(range).isRAM)
      #expect(try await machine.space.load(range.start + 99, count: 3) == [0, 5, 0])
      #expect(machine.space.counters.residentPages == 1)
    }
  }

  @Test func reusedPage_isClearedBeforeTheProcessSeesIt() throws {
    let machine = try TestMachine(ramPages: 4)
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.space.unmap(range)
      let again = try await machine.map(pages: 1, filled: false)
      try await machine.space.store(again.start + 2000, [1])
      #expect(try await machine.read(again.start) == 0)
    }
  }

  @Test func unmappedAddress_getsMapErr_andForbiddenAccessGetsAccErr() throws {
    let machine = try TestMachine()
    try machine.run {
      await expectThrows(AccessError.segv(VirtualAddress(8), .mapErr)) {
        try await machine.read(VirtualAddress(8))
      }
      let range = try await machine.map(pages: 1, .read, filled: false)
      #expect(try await machine.read(range.start) == 0)
      await expectThrows(AccessError.segv(range.start, .accErr)) {
        try await machine.write(range.start, 1)
      }
      await expectThrows(AccessError.segv(VirtualAddress(.max - 2), .mapErr)) {
        try await machine.space.load(VirtualAddress(.max - 2), count: 8)
      }
    }
  }

  @Test func storeAcrossTheEndOfAMapping_writesThePartBefore() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = VirtualAddress(0x10_0000)
      _ = try await machine.space.map(bytes: 4096, .readWrite, at: start)
      await expectThrows(AccessError.segv(start + 4096, .mapErr)) {
        try await machine.space.store(start + 4094, [1, 2, 3, 4])
      }
      #expect(try await machine.space.load(start + 4094, count: 2) == [1, 2])
    }
  }

  @Test func bulkCopies_moveTheSameBytes() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 5, filled: false)
      let source = try MappedMemory(count: 5 << 12)
      let target = try MappedMemory(count: 5 << 12)
      for index in 0..<2048 { source.store(UInt64(index) &* 0x9e37_79b9, at: index * 8) }
      try await machine.space.storeBulk(range.start + 24, from: source, at: 8, count: 16000)
      try await machine.space.loadBulk(range.start + 24, into: target, at: 16, count: 16000)
      #expect(target.bytes(at: 16, count: 16000) == source.bytes(at: 8, count: 16000))
    }
  }

  @Test func exchange_isOneStep_underEveryOrder() throws {
    for seed in UInt64(0)..<10 {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.map(pages: 1, filled: false)
        let tasks = (0..<4).map { number in
          machine.kernel.spawn("t\(number)") {
            for _ in 0..<10 {
              do {
                _ = try await machine.space.exchange(range.start) { (word: UInt64) in word + 1 }
              } catch { Issue.record("\(error)") }
            }
          }
        }
        for task in tasks { await task.join() }
        #expect(try await machine.read(range.start) == 40, "seed \(seed)")
      }
    }
  }

  @Test func outOfMemory_isReported_andLeavesThePlaceEmpty() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      for point in [InjectionPoint.pageTableAlloc, .pageAlloc] {
        machine.kernel.failures.arm(point, .nth(1))
        await expectThrows(AccessError.outOfMemory(range.start)) {
          try await machine.write(range.start, 1)
        }
        #expect(machine.location(range) == .none)
      }
      try await machine.write(range.start, 1)
    }
  }

  @Test func tasksThatTouchOnePageAtOnce_makeOnePage() throws {
    for seed in UInt64(0)..<30 {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.map(pages: 1, filled: false)
        let tasks = (0..<4).map { number in
          machine.kernel.spawn("t\(number)") {
            do {
              try await machine.space.store(range.start + UInt64(number), [UInt8(number + 1)])
            } catch { Issue.record("\(error)") }
          }
        }
        for task in tasks { await task.join() }
        #expect(
          try await machine.space.load(range.start, count: 4) == [1, 2, 3, 4], "seed \(seed)")
        #expect(machine.space.counters.residentPages == 1)
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }

  @Test func specialMapping_getsSIGBUS() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(bytes: 4096, .readWrite, flags: .special)
      await expectThrows(AccessError.sigbus(start, .EFAULT)) { try await machine.read(start) }
    }
  }

  @Test func watchedRange_getsSIGBUSForMissingPagesOnly() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.fill(range, 0)
      try await machine.space.watchMissing(range)
      #expect(try await machine.read(range.page(0)) == TestMachine.word(0))
      await expectThrows(AccessError.sigbus(range.page(1), .EFAULT)) {
        try await machine.read(range.page(1))
      }
    }
  }

  @Test func accesses_setYoungAndDirty() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let entry = machine.space.entry(at: range.start)
      #expect(entry.isYoung && entry.isDirty && entry.isSoftDirty && entry.isWritable)
    }
  }
}

@Suite struct PinTests {
  @Test func pinnedPages_holdReferencesAndPins() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3)
      await machine.mm.drainLRUOfAllCPUs()
      let pinned = try await machine.space.pin(range.start, pages: 3, write: true)
      for pfn in pinned.pfns {
        #expect(machine.mm.referenceCount(pfn) == 2)
        #expect(machine.mm.pinCount(pfn) == 1)
      }
      try machine.check()
      machine.space.unpin(pinned, dirty: true)
      for pfn in pinned.pfns { #expect(machine.mm.isDirty(pfn)) }
    }
  }

  @Test func pin_bringsDevicePagesBack() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      let pinned = try await machine.space.pin(range.start, pages: 2, write: false)
      #expect(pinned.pfns.allSatisfy { machine.mm.isSystemPage($0) })
      #expect(machine.device.faults == 2)
      machine.space.unpin(pinned)
    }
  }

  @Test func pinThatFails_leavesNothingPinned() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = VirtualAddress(0x10_0000)
      _ = try await machine.space.map(bytes: 8192, .readWrite, at: start)
      try await machine.write(start, 1)
      await expectThrows(AccessError.segv(start + 8192, .mapErr)) {
        try await machine.space.pin(start, pages: 3, write: true)
      }
    }
  }

  @Test func pinnedPage_outlivesItsMapping() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
      try await machine.space.unmap(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.referenceCount(pinned.pfns[0]) == 1)
      machine.space.unpin(pinned)
    }
    #expect(machine.mm.freeSystemPages == 255)
  }

  @Test func unpinningTwice_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 1)
        let pinned = try await machine.space.pin(range.start, pages: 1, write: true)
        machine.space.unpin(pinned)
        machine.space.unpin(pinned)
      }
    }
  }
}
