import Base
import KernelRuntime
import LinuxMM
import Testing

/// Huge pages of RAM: when a fault uses them, and what splits them.
@Suite struct HugeFaultTests {
  static let pages = HugePage.pages

  @Test func never_isTheDefault() throws {
    let machine = try TestMachine(ramPages: 2048)
    try machine.run {
      let range = try await machine.mapHuge()
      #expect(!machine.isHuge(range))
      #expect(machine.mm.hugeCounters.faultAllocations == 0)
      #expect(machine.mm.hugeCounters.faultFallbacks == 0)
    }
  }

  @Test func madvise_asksForHugePages() throws {
    let machine = try TestMachine.huge(policy: .madvise)
    try machine.run {
      let range = try await machine.mapHuge(2, filled: false)
      let first = range.subrange(0..<Self.pages)
      try await machine.space.adviseHuge(first, true)
      try await machine.fill(range, step: 100)
      #expect(machine.isHuge(range))
      #expect(!machine.isHuge(range, Self.pages))
      try await machine.expectPattern(range, step: 100)
      await expectThrows(KernelError.ENOMEM) {
        try await machine.space.adviseHuge(VirtualRange(start: range.end, pages: 1), true)
      }
      await expectThrows(KernelError.EINVAL) {
        try await machine.space.adviseHuge(
          VirtualRange(range.start + 1, range.end), true)
      }
    }
  }

  @Test func noHugePage_refusesThem() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      try await machine.space.adviseHuge(range, false)
      try await machine.fill(range, step: 100)
      #expect(!machine.isHuge(range))
    }
  }

  @Test func aWrite_mapsTwoMegabytes() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let free = machine.mm.freeSystemPages
      let range = try await machine.mapHuge()
      #expect(machine.isHuge(range))
      #expect(machine.mm.freeSystemPages == free - Self.pages)
      #expect(machine.space.counters.residentPages == Self.pages)
      #expect(machine.space.counters.minorFaults == 1)
      let head = try machine.frame(range)
      #expect(machine.mm.isHuge(head) && head.index % Self.pages == 0)
      #expect(try machine.frame(range, 77) == head + 77)
      #expect(machine.mm.folio(of: head + 77) == head)
      #expect(machine.mm.referenceCount(head + 5) == 1)
      #expect(machine.mm.mapCount(head + 5) == 1)
      #expect(machine.mm.isOnLRU(head + 3))
      try await machine.expectPattern(range, step: 37)
      try await machine.space.unmap(range)
      #expect(machine.mm.freeSystemPages == free)
      #expect(machine.space.counters.residentPages == 0)
    }
  }

  @Test func aMappingTooSmall_getsBasePages() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let start = VirtualAddress(0x4000_0000 + 0x1000)
      _ = try await machine.space.map(bytes: 2 << 20, .readWrite, at: start)
      try await machine.write(start, 1)
      #expect(!machine.space.isMappedHuge(start))
    }
  }

  @Test func aRead_mapsTheHugeZeroPage() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let free = machine.mm.freeSystemPages
      let range = try await machine.mapHuge(2, filled: false)
      #expect(try await machine.read(range.page(3)) == 0)
      #expect(try await machine.read(range.page(Self.pages + 9)) == 0)
      #expect(machine.isHuge(range) && machine.isHuge(range, Self.pages))
      #expect(machine.location(range) == .zero)
      #expect(machine.mm.hugeCounters.zeroAllocations == 1)
      #expect(machine.space.counters.residentPages == 0)
      // A write takes one page, as in 6.12; the rest stays zero.
      try await machine.write(range.page(3), 5)
      #expect(!machine.isHuge(range) && machine.isHuge(range, Self.pages))
      #expect(machine.space.counters.residentPages == 1)
      #expect(try await machine.read(range.page(2)) == 0)
      try await machine.space.unmap(range)
      #expect(machine.mm.freeSystemPages == free)
    }
  }

  @Test func noHugePageLeft_fallsBack() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      machine.kernel.failures.arm(.hugeAlloc, .nth(1))
      let range = try await machine.mapHuge(2)
      machine.kernel.failures.disarm()
      #expect(!machine.isHuge(range) && machine.isHuge(range, Self.pages))
      #expect(machine.mm.hugeCounters.faultFallbacks == 1)
      try await machine.expectPattern(range, step: 37)
    }
  }

  /// Single pages freed in any order make a huge page again.
  @Test func scatteredPages_areFound() throws {
    let machine = try TestMachine.huge(ramPages: 1100, policy: .never)
    try machine.run {
      var generator = SplitMix64(seed: 5)
      var held: [PFN] = []
      while let page = try? machine.mm.allocatePage() { held.append(page) }
      while !held.isEmpty {
        machine.mm.put(held.remove(at: generator.below(held.count)))
      }
      try machine.check()
      let first = try machine.mm.allocateHugePage()
      try machine.check(held: [first])
      // 1100 pages hold one block more than the one that page 0 is in.
      await expectThrows(KernelError.ENOMEM) { try machine.mm.allocateHugePage() }
      machine.mm.put(first)
    }
  }

  @Test func protection_isOneEntry() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge()
      try await machine.space.protect(range, .read)
      #expect(machine.isHuge(range))
      await expectThrows(AccessError.segv(range.page(4), .accErr)) {
        try await machine.write(range.page(4), 1)
      }
      try await machine.expectPattern(range, step: 37)
      try await machine.space.protect(range, .none)
      await expectThrows(AccessError.segv(range.page(4), .accErr)) {
        try await machine.read(range.page(4))
      }
      try await machine.space.protect(range, .readWrite)
      try await machine.write(range.page(4), 1)
      #expect(machine.isHuge(range))
      #expect(machine.mm.hugeCounters.splitEntries == 0)
    }
  }

  @Test func severalTasks_getOneHugePage() throws {
    for seed in UInt64(0)..<20 {
      let machine = try TestMachine.huge(choices: RandomWalkChoices(seed: seed))
      try machine.run("seed \(seed)") {
        let range = try await machine.mapHuge(filled: false)
        let tasks = (0..<4).map { number in
          machine.kernel.spawn("writer \(number)") {
            do { try await machine.fill(range, number * 100) } catch { Issue.record("\(error)") }
          }
        }
        for task in tasks { await task.join() }
        #expect(machine.isHuge(range))
        for number in 0..<4 {
          #expect(
            try await machine.read(range.page(number * 100)) == TestMachine.word(number * 100))
        }
      }
    }
  }
}
