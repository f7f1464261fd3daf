import Base
import KernelRuntime
import Testing

@testable import LinuxMM

/// A mirror that records what it is told.
private final class Mirror: IntervalNotifierOperations {
  var events: [NotifierEvent] = []
  var inside: (() async -> Void)?
  var isRunning = false
  var answer = true

  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    isRunning = true
    if answer { notifier.setSequence(sequence) }
    events.append(event)
    await inside?()
    isRunning = false
    return answer
  }
}

private final class Whole: AddressSpaceNotifier {
  var log: [String] = []
  func invalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) async {
    log.append("start \(event.kind)")
  }
  func invalidateRangeEnd(_ space: AddressSpace, _ event: NotifierEvent) {
    log.append("end \(event.kind)")
  }
  func release(_ space: AddressSpace) async { log.append("release") }
}

/// One that decides without sleeping whether a change may happen.
private final class Decider: AddressSpaceNotifier {
  let allows: Bool
  var log: [String] = []
  init(allows: Bool) { self.allows = allows }
  func invalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) async {
    log.append("start")
  }
  func tryInvalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) -> Bool {
    log.append("try")
    return allows
  }
  func invalidateRangeEnd(_ space: AddressSpace, _ event: NotifierEvent) { log.append("end") }
}

@Suite struct NotifierTests {
  @Test func eachChange_tellsTheMirrorsOfItsRange_withItsKind() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 8)
      let mirror = Mirror()
      let elsewhere = Mirror()
      let space = machine.space
      let notifier = try space.insertNotifier(range.subrange(0..<4), mirror)
      let other = try space.insertNotifier(range.subrange(6..<8), elsewhere)
      try await space.protect(range.subrange(0..<1), .read)
      try await space.discard(range.subrange(1..<2))
      try await machine.device.take(space, range.subrange(2..<3))
      try await space.unmap(range.subrange(3..<4))
      #expect(mirror.events.map(\.kind) == [.protectionVMA, .clear, .migrate, .unmap])
      #expect(mirror.events.map(\.range.start) == (0..<4).map { range.page($0) })
      #expect(elsewhere.events.isEmpty)
      await notifier.remove()
      await other.remove()
    }
  }

  @Test func R24_migrateEvents_carryTheOwner_andOthersDoNot() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let mirror = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      try await machine.device.take(machine.space, range)
      try await machine.device.evict()
      #expect(mirror.events.map(\.kind) == [.migrate, .clear, .clear])
      #expect(mirror.events[0].owner === machine.device.owner)
      #expect(mirror.events[1].owner == nil)
      await notifier.remove()
    }
  }

  @Test func sequence_tellsOfAChange() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let mirror = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      let first = await notifier.readBegin()
      #expect(!notifier.readRetry(first))
      try await machine.space.discard(range.subrange(0..<1))
      #expect(notifier.readRetry(first))
      let second = await notifier.readBegin()
      #expect(!notifier.readRetry(second))
      #expect(second & 1 == 1, "R62: a published sequence is odd")
      await notifier.remove()
    }
  }

  @Test func R59_readBegin_sleepsWhileTheRangeIsInvalidated() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mirror = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      var log: [String] = []
      var reader: KernelTask?
      mirror.inside = {
        reader = machine.kernel.spawn("reader") {
          _ = await notifier.readBegin()
          log.append("read")
        }
        for _ in 0..<3 { await machine.kernel.yield() }
        log.append("invalidated")
      }
      try await machine.space.discard(range)
      await reader?.join()
      #expect(log == ["invalidated", "read"])
      await notifier.remove()
    }
  }

  @Test func insertDuringAnInvalidation_isDeferred_andReadersWait() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mirror = Mirror()
      let late = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      var second: IntervalNotifier?
      mirror.inside = { second = try? machine.space.insertNotifier(range, late) }
      try await machine.space.discard(range)
      mirror.inside = nil
      #expect(late.events.isEmpty)
      let inserted = try #require(second)
      let sequence = await inserted.readBegin()
      #expect(!inserted.readRetry(sequence))
      try await machine.space.discard(range)
      #expect(late.events.count == 1)
      await inserted.remove()
      await notifier.remove()
    }
  }

  @Test func M23_insertedAndRemovedDuringAnInvalidation_neverHears() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mirror = Mirror()
      let brief = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      mirror.inside = {
        guard let second = try? machine.space.insertNotifier(range, brief) else { return }
        // Must not sleep: the invalidation that runs never saw it.
        await second.remove()
      }
      try await machine.space.discard(range)
      mirror.inside = nil
      try await machine.space.discard(range)
      #expect(brief.events.isEmpty)
      #expect(mirror.events.count == 2)
      await notifier.remove()
    }
  }

  @Test(arguments: UInt64(0)..<30)
  func R63_afterRemove_noCallbackRuns(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 4)
      let mirror = Mirror()
      mirror.inside = { await machine.kernel.yield() }
      let notifier = try machine.space.insertNotifier(range, mirror)
      let changer = machine.kernel.spawn("changer") {
        for page in 0..<4 {
          do { try await machine.space.discard(range.subrange(page..<page + 1)) } catch {}
        }
      }
      await machine.kernel.yield()
      await notifier.remove()
      let heard = mirror.events.count
      #expect(!mirror.isRunning, "seed \(seed)")
      await changer.join()
      #expect(mirror.events.count == heard, "seed \(seed)")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func R61_nonBlockableEvent_canBeRefused_andThenNothingIsStarted() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let mirror = Mirror()
      mirror.answer = false
      let notifier = try machine.space.insertNotifier(range, mirror)
      let event = NotifierEvent(.clear, range, isBlockable: false)
      await expectThrows(KernelError.EAGAIN) {
        try await machine.space.notifiers.start(machine.space, event)
      }
      #expect(machine.space.notifiers.running == 0)
      #expect(!machine.space.notifiers.isInvalidating)
      mirror.answer = true
      await notifier.remove()
    }
  }

  @Test func R60_refusal_endsOnlyWhatWasStarted() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let space = machine.space
      let mirror = Mirror()
      let first = Decider(allows: true)
      let second = Decider(allows: false)
      let notifier = try space.insertNotifier(range, mirror)
      space.register(first)
      space.register(second)
      let event = NotifierEvent(.clear, range, isBlockable: false)
      await expectThrows(KernelError.EAGAIN) { try await space.notifiers.start(space, event) }
      #expect(first.log == ["try", "end"])
      #expect(second.log == ["try"])
      // A mirror of a range refuses before any of these is asked.
      mirror.answer = false
      await expectThrows(KernelError.EAGAIN) { try await space.notifiers.start(space, event) }
      #expect(first.log.count == 2 && second.log.count == 1)
      #expect(space.notifiers.running == 0 && !space.notifiers.isInvalidating)
      mirror.answer = true
      try await space.discard(range)
      #expect(second.log == ["try", "start", "end"])
      await notifier.remove()
    }
  }

  @Test func wholeSpaceSubscription_seesStartEndAndRelease() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let whole = Whole()
      machine.space.register(whole)
      try await machine.space.discard(range)
      #expect(whole.log == ["start clear", "end clear"])
      await machine.space.exit()
      #expect(whole.log.dropFirst(2).first == "release")
      #expect(whole.log.last == "end unmap")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func R68_releaseComesBeforeThePagesGo() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let mirror = Mirror()
      let notifier = try machine.space.insertNotifier(range, mirror)
      var residentAtRelease = -1
      mirror.inside = {
        if residentAtRelease < 0 { residentAtRelease = machine.space.counters.residentPages }
      }
      await machine.space.exit()
      #expect(mirror.events.first?.kind == .release)
      #expect(residentAtRelease == 2)
      await notifier.remove()
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test func insert_refusesAnEmptyRange_andFailsOnRequest() throws {
    let machine = try TestMachine()
    let start = VirtualAddress(0x10_0000)
    #expect(throws: KernelError.EOVERFLOW) {
      try machine.space.insertNotifier(VirtualRange(start, start), Mirror())
    }
    machine.kernel.failures.arm(.notifierInsert, .nth(1))
    #expect(throws: KernelError.ENOMEM) {
      try machine.space.insertNotifier(VirtualRange(start: start, pages: 1), Mirror())
    }
  }
}
