import Base
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences over hugetlb mappings of several processes, with pins, against an oracle of
/// words; what fails is cut down to the shortest sequence that still fails.
/// `NOUVEAU_EFFORT=n` plays n times as many.
@Suite struct HugetlbPropertyTests {
  enum Kind: CaseIterable {
    case mapPrivate, mapShared, mapFile, mapFileShared, unmap, move, write, read, discard, protect
    case fork, exit, pin, unpin
  }

  struct Step: CustomStringConvertible {
    let kind: Kind
    let process: Int
    let slot: Int
    let word: UInt64
    var description: String { "\(kind)(process \(process) slot \(slot) word \(word))" }
  }

  /// What a process should see in one place.
  struct Place {
    /// The shared memory that it shows, by number; nil for private memory.
    var object: Int?
    /// The process's own word; nil while it sees the file's.
    var own: UInt64?
    /// The file's page that a private mapping shows.
    var file: Int?
    /// The process was promised a page and has lost no claim to it: no access may fail.
    var isPromised: Bool
    var isWritable = true
    /// Another number after each change of what is mapped.
    var generation: Int
  }

  struct Pin {
    let process: AddressSpace
    let slot: Int
    let pages: UserPages
    let generation: Int
  }

  final class World {
    static let slots = 4
    static let size = UInt64(PageSize.hugeBytes)
    let machine: TestMachine
    let file: HugetlbFile
    var spaces: [AddressSpace]
    var places: [[Place?]]
    var objects: [UInt64] = [0, 0]
    var pins: [Pin] = []
    var generation = 0
    /// Puts a defect into the oracle, so that the test of the test has something to find.
    let discardKeepsBytes: Bool

    init(discardKeepsBytes: Bool = false) throws {
      self.discardKeepsBytes = discardKeepsBytes
      machine = try TestMachine(ramPages: 4096)
      _ = machine.mm.setHugetlbPages(5)
      file = try machine.mm.createHugetlbFile("f", bytes: 2 * Self.size)
      try file.allocate()
      spaces = [machine.space]
      places = [[Place?](repeating: nil, count: Self.slots)]
    }

    func address(_ slot: Int) -> VirtualAddress {
      VirtualAddress(0x4000_0000 + UInt64(slot) * Self.size)
    }

    func range(_ slot: Int) -> VirtualRange {
      VirtualRange(start: address(slot), pages: HugePage.pages)
    }

    func word(_ place: Place) -> UInt64 {
      if let object = place.object { return objects[object] }
      return place.own ?? place.file.map { objects[$0] } ?? 0
    }

    func play(_ step: Step) async throws {
      let process = step.process % spaces.count
      let space = spaces[process]
      let slot = step.slot
      let place = places[process][slot]
      switch step.kind {
      case .mapPrivate, .mapShared, .mapFile, .mapFileShared:
        try await map(step, process)
      case .unmap:
        try await space.unmap(range(slot))
        places[process][slot] = nil
      case .move:
        let target = (slot + 1) % Self.slots
        guard place != nil, places[process][target] == nil else { return }
        try await space.remap(
          address(slot), oldBytes: Self.size, newBytes: Self.size, [.mayMove, .fixed],
          to: address(target))
        places[process][target] = place
        places[process][slot] = nil
      case .write, .read:
        try await access(step, process)
      case .discard:
        guard place != nil else { return }
        try await space.discard(range(slot))
        guard place?.object == nil else { return }
        generation += 1
        if !discardKeepsBytes { places[process][slot]?.own = nil }
        places[process][slot]?.isPromised = false
        places[process][slot]?.generation = generation
      case .protect:
        guard place != nil else { return }
        let isWritable = step.word % 3 > 0
        try await space.protect(range(slot), isWritable ? .readWrite : .read)
        places[process][slot]?.isWritable = isWritable
      case .fork: try await fork(process)
      case .exit:
        guard spaces.count > 1 else { return }
        await space.exit()
        spaces.remove(at: process)
        places.remove(at: process)
      case .pin: try await pin(step, process)
      case .unpin: try unpin(step)
      }
    }

    private func map(_ step: Step, _ process: Int) async throws {
      let isFile = step.kind == .mapFile || step.kind == .mapFileShared
      let isShared = step.kind == .mapShared || step.kind == .mapFileShared
      let page = Int(step.word % 2)
      let counters = machine.mm.hugetlbCounters
      // The file has all its pages: shared mappings of it need no promise.
      let needs = step.kind == .mapFileShared ? 0 : 1
      let expected: KernelError? =
        places[process][step.slot] != nil
        ? .EEXIST : counters.free - counters.reserved < needs ? .ENOMEM : nil
      var met: KernelError?
      do throws(KernelError) {
        _ = try await spaces[process].mapHugetlb(
          isFile ? file : nil, offset: isFile ? UInt64(page) * Self.size : 0, bytes: Self.size,
          .readWrite, shared: isShared, at: address(step.slot))
      } catch {
        met = error
      }
      guard met == expected else { throw Mismatch("map gave \(met.map(\.name) ?? "success")") }
      guard met == nil else { return }
      generation += 1
      if isShared && !isFile { objects.append(0) }
      places[process][step.slot] = Place(
        object: isShared ? (isFile ? page : objects.count - 1) : nil,
        file: isFile && !isShared ? page : nil, isPromised: true, generation: generation)
    }

    private func access(_ step: Step, _ process: Int) async throws {
      let (space, at) = (spaces[process], address(step.slot) + step.word % 512 * 4096 / 8 * 8)
      let place = places[process][step.slot]
      var failure: AccessError?
      var met: UInt64 = 0
      do {
        // One word a huge page: that of its first page.
        if step.kind == .write {
          try await space.write(address(step.slot), step.word)
        } else {
          met = try await space.read(address(step.slot))
          _ = try await space.read(at)
        }
      } catch let error as AccessError {
        failure = error
      }
      guard let place else {
        guard case .segv? = failure else { throw Mismatch("an access of nothing worked") }
        return
      }
      if step.kind == .write && !place.isWritable {
        guard case .segv(_, .accErr)? = failure else { throw Mismatch("a write of R/O worked") }
        return
      }
      if let failure {
        guard case .sigbus(_, .ENOMEM) = failure, !place.isPromised else {
          throw Mismatch("\(failure) at a promised place")
        }
        return
      }
      if step.kind == .read {
        guard met == word(place) else { throw Mismatch("read \(met), not \(word(place))") }
      } else if let object = place.object {
        objects[object] = step.word
      } else {
        places[process][step.slot]?.own = step.word
      }
    }

    private func fork(_ process: Int) async throws {
      guard spaces.count < 4 else { return }
      do throws(KernelError) {
        spaces.append(try await spaces[process].fork("child"))
      } catch {
        guard error == .ENOMEM, !pins.isEmpty else { throw Mismatch("fork gave \(error)") }
        return
      }
      places.append(
        places[process].map { place in
          guard var copy = place else { return nil }
          // A child is promised nothing of private memory.
          if copy.object == nil { copy.isPromised = false }
          return copy
        })
    }

    private func pin(_ step: Step, _ process: Int) async throws {
      guard let place = places[process][step.slot], place.isWritable, pins.count < 4 else { return }
      let space = spaces[process]
      do throws(KernelError) {
        let flags: UserPageFlags = step.word % 2 == 0 ? [.write, .longTerm] : .write
        let pages =
          step.word % 3 == 0
          ? try await space.pinUserPagesFast(address(step.slot), pages: 2, flags)
          : try await space.pinUserPages(address(step.slot), pages: 2, flags)
        // A pin for writing is a write that leaves the bytes as they are.
        if place.object == nil { places[process][step.slot]?.own = word(place) }
        pins.append(
          Pin(process: space, slot: step.slot, pages: pages, generation: place.generation))
      } catch {
        guard error == .EFAULT, !place.isPromised else { throw Mismatch("pin gave \(error)") }
      }
    }

    private func unpin(_ step: Step) throws {
      guard !pins.isEmpty else { return }
      let pin = pins.remove(at: step.slot % pins.count)
      defer { machine.mm.unpin(pin.pages) }
      // Who was promised the page sees what the holder sees, as long as it is mapped.
      guard let process = spaces.firstIndex(where: { $0 === pin.process }),
        let place = places[process].compactMap(\.self).first(where: {
          $0.generation == pin.generation
        }), place.isPromised
      else { return }
      let held = machine.mm.ram.load(UInt64.self, at: pin.pages.pfns[0].index << 12)
      guard held == word(place) else {
        throw Mismatch("the holder sees \(held), the process \(word(place))")
      }
    }

    func end() async throws {
      for pin in pins { machine.mm.unpin(pin.pages) }
      for space in spaces { await space.exit() }
      try file.evict()
      guard machine.mm.setHugetlbPages(0) == 0 else { throw Mismatch("pages are lost") }
    }
  }

  static func steps(seed: UInt64, count: Int) -> [Step] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in
      let kinds = Kind.allCases + [.write, .write, .write, .read, .read]
      return Step(
        kind: kinds[generator.below(kinds.count)], process: generator.below(4),
        slot: generator.below(World.slots), word: generator.next() >> 16)
    }
  }

  /// What went wrong when the steps were played; nil when nothing did.
  private static func failure(
    _ steps: [Step], discardKeepsBytes: Bool = false
  ) throws -> String? {
    let world = try World(discardKeepsBytes: discardKeepsBytes)
    return try LinuxMMTests.failure(
      of: steps, on: world.machine.kernel, play: world.play,
      check: {
        if let first = try world.machine.mm.audit().problems.first { throw Mismatch(first) }
      }, end: world.end)
  }

  @Test func randomSequences_matchTheOracle() throws {
    let name = "NOUVEAU_HUGETLB_SEED"
    let asked = ProcessPropertyTests.environment[name].flatMap { UInt64($0) }
    for seed in asked.map({ $0..<$0 + 1 }) ?? 0..<8 * ProcessPropertyTests.effort {
      var steps = Self.steps(seed: seed, count: 60)
      guard let first = try Self.failure(steps) else { continue }
      var place = 0
      while place < steps.count {
        var fewer = steps
        fewer.remove(at: place)
        if try Self.failure(fewer) != nil { steps = fewer } else { place += 1 }
      }
      let lines = steps.map { "\($0)" }.joined(separator: "\n")
      Issue.record(
        """
        seed \(seed): \(try Self.failure(steps) ?? first)
        \(lines)
        replay: \(name)=\(seed) swift test --filter HugetlbPropertyTests
        """)
      return
    }
  }

  /// The oracle notices when the two sides differ.
  @Test func aDefect_isFound() throws {
    let isFound = try (0..<40 as Range<UInt64>).contains { seed in
      let steps = Self.steps(seed: seed, count: 60)
      return try Self.failure(steps, discardKeepsBytes: true)?.contains("discard") == false
    }
    #expect(isFound)
  }
}
