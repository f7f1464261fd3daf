import Base
import KernelRuntime
import LinuxMM
import Testing

/// What splits huge entries and huge pages, and what keeps a huge page whole.
@Suite struct HugeSplitTests {
  static let pages = HugePage.pages

  @Test(arguments: [0..<256, 128..<384, 256..<512, 511..<512, 0..<1])
  func partialUnmap_keepsTheRest(part: Range<Int>) throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.unmap(range.subrange(part))
      #expect(!machine.isHuge(range))
      #expect(machine.space.counters.residentPages == Self.pages - part.count)
      for page in 0..<Self.pages where !part.contains(page) {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
      await expectThrows(AccessError.segv(range.page(part.lowerBound), .mapErr)) {
        try await machine.read(range.page(part.lowerBound))
      }
      // The memory of the part comes back when the page is split under pressure.
      let counters = machine.mm.hugeCounters
      #expect(counters.splitEntries == 1 && counters.deferredSplits == 1 && counters.splits == 0)
      let free = machine.mm.freeSystemPages
      #expect(machine.mm.splitDeferred() == 1)
      #expect(machine.mm.freeSystemPages == free + part.count)
      for page in 0..<Self.pages where !part.contains(page) {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
    }
  }

  @Test func discard_ofAPartReadsZeroes() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.discard(range.subrange(100..<200))
      for page in stride(from: 0, to: Self.pages, by: 10) {
        let expected = (100..<200).contains(page) ? 0 : TestMachine.word(page)
        #expect(try await machine.read(range.page(page)) == expected)
      }
      try await machine.space.discard(range)
      #expect(machine.space.counters.residentPages == 0)
      #expect(try await machine.read(range.page(3)) == 0)
    }
  }

  @Test func protection_ofAPartSplitsTheEntry() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.protect(range.subrange(0..<10), .read)
      #expect(!machine.isHuge(range))
      let head = try machine.frame(range)
      #expect(machine.mm.isHuge(head) && machine.mm.referenceCount(head) == Self.pages)
      await expectThrows(AccessError.segv(range.page(4), .accErr)) {
        try await machine.write(range.page(4), 1)
      }
      // Parts of an exclusive page are written in place.
      try await machine.write(range.page(44), 1)
      #expect(try machine.frame(range, 44) == head + 44)
      try await machine.space.protect(range, .readWrite)
      try await machine.write(range.page(4), 1)
      #expect(try machine.frame(range, 4) == head + 4)
    }
  }

  @Test func mirrors_areTold_ofASplit() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge()
      let mirror = RecordingMirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      _ = await notifier.readBegin()
      try await machine.space.discard(range.subrange(0..<1))
      #expect(mirror.events.contains(VirtualRange(start: range.start, pages: Self.pages)))
      await notifier.remove()
    }
  }

  @Test func splitFolio_saysWhyNot() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let head = try machine.frame(range)
      let single = try await machine.map(pages: 1)
      let page = try machine.frame(single)
      await expectThrows(KernelError.EINVAL) { try await machine.mm.splitFolio(page) }
      let locked = machine.mm.tryLock(head + 9)
      #expect(locked && machine.mm.isLocked(head))
      await expectThrows(KernelError.EBUSY) { try await machine.mm.splitFolio(head) }
      machine.mm.unlock(head + 100)
      let pin = try await machine.space.pin(range.page(17), pages: 2, write: true)
      #expect(machine.mm.pinCount(head) == 2)
      await expectThrows(KernelError.EAGAIN) { try await machine.mm.splitFolio(head + 4) }
      machine.mm.unpin(pin, dirty: true)
      machine.kernel.failures.arm(.folioSplit, .nth(1))
      await expectThrows(KernelError.EAGAIN) { try await machine.mm.splitFolio(head + 4) }
      machine.kernel.failures.disarm()
      #expect(machine.isHuge(range))
      try await machine.mm.splitFolio(head + 4)
      #expect(!machine.isHuge(range) && !machine.mm.isHuge(head))
      #expect(machine.mm.referenceCount(head + 4) == 1 && machine.mm.isOnLRU(head + 4))
      let counters = machine.mm.hugeCounters
      #expect(counters.failedSplits == 2 && counters.splits == 1)
      for page in 0..<Self.pages {
        #expect(try await machine.read(range.page(page)) == TestMachine.word(page))
      }
    }
  }

  @Test func theHugeZeroPage_isNeverSplit() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      _ = try await machine.read(range.start)
      let pin = try await machine.space.pin(range.page(3), pages: 1, write: false)
      await expectThrows(KernelError.EBUSY) { try await machine.mm.splitFolio(pin.pfns[0]) }
      try await machine.space.unmap(range)
      machine.mm.unpin(pin)
    }
  }

  /// A pinned page keeps its bytes and place though its huge page loses other parts.
  @Test func pins_outliveThePartsAround() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      let pin = try await machine.space.pin(range.page(10), pages: 1, write: true)
      try await machine.space.unmap(range.subrange(0..<256))
      #expect(machine.mm.splitDeferred() == 0)
      #expect(machine.mm.ram.load(UInt64.self, at: pin.pfns[0].index << 12) == TestMachine.word(10))
      machine.mm.unpin(pin)
      #expect(machine.mm.splitDeferred() == 1)
      #expect(try await machine.read(range.page(300)) == TestMachine.word(300))
      #expect(machine.space.counters.residentPages == 256)
    }
  }

  /// When nothing is free, memory that only huge pages with unmapped parts hold is given back.
  @Test func pressure_splitsWhatIsDeferred() throws {
    let machine = try TestMachine.huge(ramPages: 1024)
    try machine.run {
      let range = try await machine.mapHuge(step: 1)
      try await machine.space.unmap(range.subrange(0..<500))
      let small = try await machine.map(pages: 900, filled: true)
      #expect(machine.mm.hugeCounters.splits == 1)
      #expect(try await machine.read(range.page(505)) == TestMachine.word(505))
      #expect(try await machine.read(small.page(899)) == TestMachine.word(899))
    }
  }

  @Test func exit_givesEverythingBack() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(3)
      try await machine.space.discard(range.subrange(5..<7))
      _ = try await machine.mapHuge(filled: false)
      await machine.space.exit()
      machine.mm.splitDeferred()
    }
    #expect(machine.mm.freeSystemPages == 4095)
    #expect(machine.mm.pageTables == 0)
  }
}

/// A mirror that keeps the ranges it was told of.
final class RecordingMirror: IntervalNotifierOperations {
  var events: [VirtualRange] = []
  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    notifier.setSequence(sequence)
    events.append(event.range)
    return true
  }
}
