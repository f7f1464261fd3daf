import Base
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences of operations against an oracle that knows bytes and protection only.
@Suite struct PropertyTests {
  /// What the process must see: per page a protection and one word, or nothing mapped.
  private struct Oracle {
    var pages: [(protection: Protection, word: UInt64)?]

    func access(_ page: Int, write: Bool) -> AccessError.SegvCode? {
      guard let known = pages[page] else { return .mapErr }
      let needed: Protection = write ? .write : .read
      let allowed =
        write ? known.protection.contains(needed) : !known.protection.isDisjoint(with: .readWrite)
      return allowed ? nil : .accErr
    }
  }

  private static let base = VirtualAddress(0x4000_0000 - 6 << 12)
  private static let count = 24

  /// One random operation; the window lies across the border of two leaf tables.
  private func step(
    _ machine: TestMachine, _ generator: inout SplitMix64, _ oracle: inout Oracle,
    _ pins: inout [PinnedPages], _ comment: String
  ) async throws {
    let window = VirtualRange(start: Self.base, pages: Self.count)
    let first = generator.below(Self.count)
    let last = min(Self.count, first + 1 + generator.below(6))
    let range = window.subrange(first..<last)
    let space = machine.space
    let mapped = (first..<last).allSatisfy { oracle.pages[$0] != nil }
    switch generator.below(12) {
    case 0:
      do throws(KernelError) {
        let protection: Protection = generator.chance(1, in: 4) ? .read : .readWrite
        _ = try await space.map(bytes: range.bytes, protection, at: range.start)
        #expect((first..<last).allSatisfy { oracle.pages[$0] == nil }, "\(comment)")
        for page in first..<last { oracle.pages[page] = (protection, 0) }
      } catch {
        #expect(error == .EEXIST, "\(comment)")
      }
    case 1:
      try await space.unmap(range)
      for page in first..<last { oracle.pages[page] = nil }
    case 2:
      let protection = [Protection.none, .read, .readWrite][generator.below(3)]
      do throws(KernelError) {
        try await space.protect(range, protection)
        #expect(mapped, "\(comment)")
        for page in first..<last { oracle.pages[page]?.protection = protection }
      } catch {
        #expect(error == .ENOMEM && !mapped, "\(comment)")
      }
    case 3 where generator.chance(1, in: 3):
      do throws(KernelError) {
        try await space.discard(range)
        #expect(mapped, "\(comment)")
      } catch {
        #expect(error == .ENOMEM && !mapped, "\(comment)")
      }
      // What is mapped is gone all the same.
      for page in first..<last { oracle.pages[page]?.word = 0 }
    case 4, 5, 6:
      let word = generator.next()
      do throws(AccessError) {
        try await space.store(range.start, word.bytes)
        #expect(oracle.access(first, write: true) == nil, "\(comment)")
        oracle.pages[first]?.word = word
      } catch {
        let code = oracle.access(first, write: true)
        #expect(code.map { error == .segv(range.start, $0) } ?? false, "\(error) \(comment)")
      }
    case 7, 8:
      do throws(AccessError) {
        let word = UInt64(littleEndianBytes: try await space.load(range.start, count: 8))
        #expect(word == oracle.pages[first]?.word, "page \(first) \(comment)")
      } catch {
        let code = oracle.access(first, write: false)
        #expect(code.map { error == .segv(range.start, $0) } ?? false, "\(error) \(comment)")
      }
    case 9:
      // Any range will do: what lies in several mappings or none is refused.
      do throws(KernelError) {
        try await machine.device.take(space, range)
      } catch {
        #expect(error == .EINVAL, "\(comment)")
      }
    case 10:
      try await machine.device.evict()
    default:
      if let pin = pins.popLast() {
        machine.mm.unpin(pin)
      } else if oracle.access(first, write: true) == nil {
        pins.append(try await space.pin(range.start, pages: 1, write: true))
      }
    }
  }

  private func play(seed: UInt64, steps: Int, choices: any Choices) throws {
    let machine = try TestMachine(ramPages: 128, devicePages: 20, choices: choices)
    let comment = "replay: seed \(seed)"
    try machine.run(comment) {
      var generator = SplitMix64(seed: seed)
      var oracle = Oracle(pages: .init(repeating: nil, count: Self.count))
      var pins: [PinnedPages] = []
      for number in 0..<steps {
        try await self.step(machine, &generator, &oracle, &pins, "\(comment) step \(number)")
        try machine.check("\(comment) step \(number)")
      }
      for pin in pins { machine.mm.unpin(pin) }
      await machine.mm.drainLRUOfAllCPUs()
    }
    try machine.run(comment) {
      await machine.space.exit()
      await machine.mm.drainLRUOfAllCPUs()
    }
    #expect(machine.mm.freeSystemPages == 127, "\(comment)")
    #expect(machine.mm.pageTables == 0, "\(comment)")
    #expect(machine.device.pagemap.references == 0, "\(comment)")
  }

  @Test(arguments: UInt64(0)..<8)
  func randomSequences_matchTheOracle(block: UInt64) throws {
    for seed in block * 125..<(block + 1) * 125 {
      try play(seed: seed, steps: 40, choices: FIFOChoices())
    }
  }

  /// Several tasks at once: each owns the words of its pages, so that each knows what to read.
  private func playTogether(seed: UInt64) throws {
    let machine = try TestMachine(
      ramPages: 128, devicePages: 12, choices: RandomWalkChoices(seed: seed))
    let comment = "replay: seed \(seed)"
    try machine.run(comment) {
      let range = try await machine.map(pages: 12)
      var tasks: [KernelTask] = []
      for owner in 0..<3 {
        tasks.append(
          machine.kernel.spawn("writer \(owner)") {
            var generator = SplitMix64(seed: seed &* 31 &+ UInt64(owner))
            var words = (0..<4).map { TestMachine.word(owner * 4 + $0) }
            for _ in 0..<25 {
              let own = generator.below(4)
              let address = range.page(owner * 4 + own)
              do {
                if generator.chance(1, in: 2) {
                  words[own] = generator.next()
                  try await machine.write(address, words[own])
                } else {
                  let word = try await machine.read(address)
                  #expect(word == words[own], "page \(owner * 4 + own) \(comment)")
                }
              } catch { Issue.record("\(error) \(comment)") }
            }
            for own in 0..<4 {
              do {
                let word = try await machine.read(range.page(owner * 4 + own))
                #expect(word == words[own], "page \(owner * 4 + own) at the end, \(comment)")
              } catch { Issue.record("\(error) \(comment)") }
            }
          })
      }
      tasks.append(
        machine.kernel.spawn("driver") {
          var generator = SplitMix64(seed: seed &* 77)
          for _ in 0..<12 {
            let first = generator.below(12)
            let part = range.subrange(first..<min(12, first + 1 + generator.below(8)))
            do {
              if generator.chance(1, in: 4) {
                try await machine.device.evict()
              } else {
                try await machine.device.take(machine.space, part)
              }
            } catch { Issue.record("\(error) \(comment)") }
          }
        })
      tasks.append(
        machine.kernel.spawn("pinner") {
          var generator = SplitMix64(seed: seed &* 99)
          for _ in 0..<6 {
            do {
              let pinned = try await machine.space.pin(
                range.page(generator.below(11)), pages: 2, write: true)
              await machine.kernel.yield()
              machine.space.unpin(pinned)
            } catch { Issue.record("\(error) \(comment)") }
          }
        })
      while !tasks.allSatisfy(\.isFinished) {
        let audit = try machine.mm.audit(isQuiet: false)
        #expect(audit.problems == [], "\(comment)")
        await machine.kernel.yield()
      }
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test(arguments: UInt64(0)..<8)
  func tasksAtOnce_eachSeeWhatTheyWrote(block: UInt64) throws {
    for seed in block * 15..<(block + 1) * 15 { try playTogether(seed: seed) }
  }

  @Test func oneSeed_givesOneTrace() throws {
    func trace(_ seed: UInt64) throws -> String {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed), traced: true)
      try machine.run {
        let range = try await machine.map(pages: 6)
        let mover = machine.kernel.spawn("mover") {
          do { try await machine.device.take(machine.space, range) } catch {
            Issue.record("\(error)")
          }
        }
        try await machine.expectPattern(range)
        await mover.join()
        await machine.mm.drainLRUOfAllCPUs()
      }
      return machine.kernel.trace.text()
    }
    let first = try trace(11)
    #expect(first == (try trace(11)))
    #expect(first.contains("migrate_vma_setup"))
  }
}
