import Base
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences over memory of huge pages against an oracle of bytes; what fails is cut down to
/// the shortest sequence that still fails. `NOUVEAU_EFFORT=n` plays n times as many.
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
    case exclusive(Int, Int, UInt64)
    case freeLazily(Int, Int)
    case reclaim(Int)
    case lose(Int)
    case swapOut(Int, Int)
    case guardWrites(Int, Int, Bool)

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
      case .exclusive(let first, let count, let word): "exclusive(\(first), \(count), \(word))"
      case .freeLazily(let first, let count): "freeLazily(\(first), \(count))"
      case .reclaim(let count): "reclaim(\(count))"
      case .swapOut(let first, let count): "swapOut(\(first), \(count))"
      case .lose(let page): "lose(\(page))"
      case .guardWrites(let first, let count, let isOn):
        "guardWrites(\(first), \(count), \(isOn))"
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
    switch generator.below(31) {
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
    case 23, 24:
      return .exclusive(page, min(1 + generator.below(20), window - page), generator.next())
    case 25: return .freeLazily(first, count)
    case 26: return .reclaim(1 + generator.below(600))
    case 29: return .swapOut(first, count)
    case 27: return .lose(page)
    case 28: return .guardWrites(first, count, generator.chance(2, in: 3))
    default: return .fail(generator.below(points.count), 1 + generator.below(3))
    }
  }

  /// Plays a sequence; what is wrong first, or nil.
  static func play(_ steps: [Step]) throws -> String? {
    let machine = try TestMachine.huge(ramPages: 6144, devicePages: 1536, swapPages: 1200)
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
    let count = 8 * ProcessPropertyTests.effort
    for seed in block * count..<(block + 1) * count {
      let steps = Self.steps(seed: seed, count: 40)
      guard let wrong = try Self.play(steps) else { continue }
      let short = try Self.shortened(steps)
      Issue.record(
        "seed \(seed): \(wrong)\nshortest: \(short)\n\(try Self.play(short) ?? "holds")")
      return
    }
  }
}
