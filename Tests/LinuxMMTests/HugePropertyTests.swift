import Base
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences over memory of huge pages against an oracle of bytes; what fails is cut down to
/// the shortest sequence that still fails.
@Suite struct HugePropertyTests {
  /// One step. All of a step's choices are in it, so that a sequence can lose steps.
  enum Step: Hashable, CustomStringConvertible {
    case write(Int, UInt64)
    case read(Int)
    case take(Int, Int, huge: Bool, splits: Bool)
    case evict
    case unmap(Int, Int)
    case map(Int, Int)
    case protect(Int, Int, Protection)
    case discard(Int, Int)
    case collapse(Int)
    case pin(Int)
    case unpin
    case fork
    case childWrite(Int, UInt64)
    case childExit
    case splitDeferred
    case fail(Int, Int)
    case heal

    var description: String {
      switch self {
      case .write(let page, let word): "write(\(page), \(word))"
      case .read(let page): "read(\(page))"
      case .take(let first, let count, let huge, let splits):
        "take(\(first), \(count), huge: \(huge), splits: \(splits))"
      case .unmap(let first, let count): "unmap(\(first), \(count))"
      case .map(let first, let count): "map(\(first), \(count))"
      case .protect(let first, let count, let protection):
        "protect(\(first), \(count), \(protection))"
      case .discard(let first, let count): "discard(\(first), \(count))"
      case .collapse(let block): "collapse(\(block))"
      case .pin(let page): "pin(\(page))"
      case .childWrite(let page, let word): "childWrite(\(page), \(word))"
      case .fail(let point, let nth): "fail(\(point), \(nth))"
      case .evict, .unpin, .fork, .childExit, .splitDeferred, .heal: "\(name)"
      }
    }

    private var name: String {
      String(reflecting: self).split(separator: ".").last.map { "\($0)" } ?? ""
    }
  }

  static let window = HugePage.pages * 2
  static let points: [InjectionPoint] = [
    .hugeAlloc, .folioSplit, .pageLock, .migrateCollect, .migrateCommit, .pageTableAlloc,
  ]

  static func steps(seed: UInt64, count: Int) -> [Step] {
    var generator = SplitMix64(seed: seed)
    let start: [Step] = [.map(0, HugePage.pages), .map(HugePage.pages, HugePage.pages)]
    return start + (0..<count).map { _ in step(&generator) }
  }

  private static func step(_ generator: inout SplitMix64) -> Step {
    let page = generator.below(window)
    // Half of the ranges are whole huge pages.
    let block = generator.below(2) * HugePage.pages
    let isWhole = generator.chance(1, in: 2)
    let first = isWhole ? block : page
    let count =
      isWhole ? HugePage.pages : min(1 + generator.below(300), window - page)
    switch generator.below(24) {
    case 0...4: return .write(page, generator.next())
    case 5, 6: return .read(page)
    case 7...9:
      return .take(
        first, count, huge: generator.chance(3, in: 4), splits: generator.chance(1, in: 4))
    case 10: return .evict
    case 11: return .unmap(first, count)
    case 12, 13: return .map(block, HugePage.pages)
    case 14: return .protect(first, count, generator.chance(1, in: 2) ? .read : .readWrite)
    case 15: return .discard(first, count)
    case 16: return .collapse(generator.below(2))
    case 17: return .pin(page)
    case 18: return .unpin
    case 19: return .fork
    case 20: return .childWrite(page, generator.next())
    case 21: return .childExit
    case 22: return generator.chance(1, in: 2) ? .splitDeferred : .heal
    default: return .fail(generator.below(points.count), 1 + generator.below(3))
    }
  }

  /// Plays a sequence; what is wrong first, or nil.
  static func play(_ steps: [Step]) throws -> String? {
    let machine = try TestMachine.huge(ramPages: 6144, devicePages: 1536)
    var player = HugePlayer(machine)
    var wrong: String?
    try machine.kernel.run {
      for (number, step) in steps.enumerated() where wrong == nil {
        wrong = await player.play(step).map { "step \(number), \(step): \($0)" }
        if wrong == nil { wrong = player.audit().map { "step \(number), \(step): \($0)" } }
      }
      machine.kernel.failures.disarm()
      if wrong == nil { wrong = await player.finish().map { "at the end: \($0)" } }
    }
    return wrong
  }

  /// The sequence without the steps that the failure doesn't need.
  static func shortened(_ steps: [Step]) throws -> [Step] {
    var best = steps
    var size = max(1, best.count / 2)
    while size > 0 {
      var start = 0
      while start < best.count {
        var fewer = best
        fewer.removeSubrange(start..<min(start + size, best.count))
        if try play(fewer) != nil { best = fewer } else { start += size }
      }
      size /= 2
    }
    return best
  }

  @Test(arguments: UInt64(0)..<4)
  func randomSequences_matchTheOracle(block: UInt64) throws {
    for seed in block * 8..<(block + 1) * 8 {
      let steps = Self.steps(seed: seed, count: 40)
      guard let wrong = try Self.play(steps) else { continue }
      let short = try Self.shortened(steps)
      Issue.record(
        "seed \(seed): \(wrong)\nshortest: \(short)\n\(try Self.play(short) ?? "holds")")
      return
    }
  }
}

/// Plays steps on a machine and knows what each page of two processes must hold.
private struct HugePlayer {
  let machine: TestMachine
  let base = VirtualAddress(0x4000_0000)
  var pages: [(isWritable: Bool, word: UInt64)?]
  var child: (space: AddressSpace, words: [UInt64?])?
  var pins: [PinnedPages] = []

  init(_ machine: TestMachine) {
    self.machine = machine
    pages = .init(repeating: nil, count: HugePropertyTests.window)
  }

  private func range(_ first: Int, _ count: Int) -> VirtualRange {
    VirtualRange(start: base + UInt64(first) << 12, pages: count)
  }

  private func address(_ page: Int) -> VirtualAddress { base + UInt64(page) << 12 }

  func audit() -> String? {
    guard let audit = try? machine.mm.audit(isQuiet: true) else { return "no audit" }
    return audit.problems.first
      ?? (audit.unmapped.isEmpty ? nil : "pages \(audit.unmapped.prefix(3)) leaked")
  }

  private var mayFail: Bool { !machine.kernel.failures.isQuiet }

  mutating func play(_ step: HugePropertyTests.Step) async -> String? {
    switch step {
    case .write(let page, let word): return await write(page, word)
    case .read(let page): return await read(page)
    case .take(let first, let count, let huge, let splits):
      return await take(range(first, count), huge: huge, splits: splits)
    case .evict: _ = try? await machine.device.evict()
    case .pin(let page):
      guard pages[page]?.isWritable == true, pins.count < 3 else { return nil }
      do { pins.append(try await machine.space.pin(address(page), pages: 1, write: true)) } catch {
        return mayFail ? nil : "pin: \(error)"
      }
    case .unpin: pins.popLast().map { machine.mm.unpin($0) }
    case .fork: await fork()
    case .childWrite(let page, let word): return await childWrite(page, word)
    case .childExit:
      await child?.space.exit()
      child = nil
    case .splitDeferred: machine.mm.splitDeferred()
    case .fail(let point, let nth):
      machine.kernel.failures.arm(HugePropertyTests.points[point], .nth(UInt64(nth)))
    case .heal: machine.kernel.failures.disarm()
    default: return await change(step)
    }
    await machine.mm.drainLRUOfAllCPUs()
    return nil
  }

  /// Steps that change the mappings.
  private mutating func change(_ step: HugePropertyTests.Step) async -> String? {
    let space = machine.space
    do throws(KernelError) {
      switch step {
      case .unmap(let first, let count):
        try await space.unmap(range(first, count))
        for page in first..<first + count { pages[page] = nil }
      case .map(let first, let count):
        guard (first..<first + count).allSatisfy({ pages[$0] == nil }) else { return nil }
        _ = try await space.map(
          bytes: UInt64(count) << 12, .readWrite, at: address(first))
        for page in first..<first + count { pages[page] = (true, 0) }
      case .protect(let first, let count, let protection):
        try await space.protect(range(first, count), protection)
        for page in first..<first + count {
          pages[page]?.isWritable = protection.contains(.write)
        }
      case .discard(let first, let count):
        try await space.discard(range(first, count))
        for page in first..<first + count { pages[page]?.word = 0 }
      case .collapse(let block):
        try await space.collapse(range(block * HugePage.pages, HugePage.pages))
      default: break
      }
    } catch {
      let allowed: [KernelError] = [.ENOMEM, .EINVAL, .EAGAIN]
      return allowed.contains(error) ? nil : "\(error)"
    }
    return nil
  }

  private func take(_ range: VirtualRange, huge: Bool, splits: Bool) async -> String? {
    do throws(KernelError) {
      if huge {
        try await machine.device.takeHuge(machine.space, range, splits: splits)
      } else {
        try await machine.device.take(machine.space, range)
      }
    } catch {
      // Over several mappings or none.
      return error == .EINVAL ? nil : "\(error)"
    }
    return nil
  }

  private mutating func write(_ page: Int, _ word: UInt64) async -> String? {
    do throws(AccessError) {
      try await machine.space.store(address(page), word.bytes)
      guard pages[page]?.isWritable == true else { return "was written" }
      pages[page]?.word = word
    } catch {
      return pages[page]?.isWritable == true && !mayFail ? "\(error)" : nil
    }
    return nil
  }

  private func read(_ page: Int) async -> String? {
    do throws(AccessError) {
      let word = UInt64(littleEndianBytes: try await machine.space.load(address(page), count: 8))
      return word == pages[page]?.word
        ? nil : "\(word) instead of \(String(describing: pages[page]))"
    } catch {
      return pages[page] != nil && !mayFail ? "\(error)" : nil
    }
  }

  private mutating func fork() async {
    guard child == nil, let space = try? await machine.space.fork("child") else { return }
    child = (space, pages.map { $0?.word })
  }

  private mutating func childWrite(_ page: Int, _ word: UInt64) async -> String? {
    guard let space = child?.space, child?.words[page] != nil else { return nil }
    guard (try? await space.store(address(page), word.bytes)) != nil else { return nil }
    child?.words[page] = word
    return nil
  }

  /// Every page of both processes, and then an empty machine.
  mutating func finish() async -> String? {
    for page in pages.indices where pages[page] != nil {
      if let wrong = await read(page) { return "page \(page): \(wrong)" }
    }
    if let child {
      for page in pages.indices {
        guard let known = child.words[page] else { continue }
        guard let bytes = try? await child.space.load(address(page), count: 8) else {
          return "the child can't read page \(page)"
        }
        let word = UInt64(littleEndianBytes: bytes)
        if word != known { return "page \(page) of the child: \(word) instead of \(known)" }
      }
      await child.space.exit()
    }
    for pin in pins { machine.mm.unpin(pin) }
    await machine.space.exit()
    await machine.mm.drainLRUOfAllCPUs()
    machine.mm.splitDeferred()
    if machine.mm.freeSystemPages != 6143 { return "\(machine.mm.freeSystemPages) pages free" }
    if machine.mm.pageTables != 0 { return "\(machine.mm.pageTables) page tables left" }
    let left = machine.device.pagemap.references
    return left == 0 ? nil : "\(left) device pages left"
  }
}
