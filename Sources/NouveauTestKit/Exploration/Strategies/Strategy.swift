public import KernelRuntime

/// How orders are chosen.
public enum Strategy: Hashable, Sendable {
  /// First come, first served; one order.
  case plain
  /// A uniform random walk.
  case random
  /// Random priorities with `depth - 1` changes (``PCTChoices``).
  case pct(depth: Int)
  /// Every order within bounds (``ExhaustiveChoices``).
  case exhaustive(ExhaustiveChoices.Bounds)

  /// As in reports and on command lines.
  public var name: String {
    switch self {
    case .plain: "plain"
    case .random: "random"
    case .pct(let depth): "pct:\(depth)"
    case .exhaustive(let bounds):
      "exhaustive:\(bounds.preemptions.map(String.init) ?? "all")"
        + (bounds.pruning == .none ? "" : ":\(bounds.pruning.rawValue)")
    }
  }

  /// Reads `plain`, `random`, `pct[:DEPTH]`,
  /// `exhaustive[:PREEMPTIONS|all[:none|localSteps|sleepSets]]`.
  public init?(name: String) {
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    switch (parts.first, parts.count) {
    case ("plain", 1): self = .plain
    case ("random", 1): self = .random
    case ("pct", 1): self = .pct(depth: 3)
    case ("pct", 2):
      guard let depth = Int(parts[1]), (1...64).contains(depth) else { return nil }
      self = .pct(depth: depth)
    case ("exhaustive", 1...3):
      var bounds = ExhaustiveChoices.Bounds()
      if parts.count > 1 && parts[1] != "all" {
        guard let count = Int(parts[1]), count >= 0 else { return nil }
        bounds.preemptions = count
      } else if parts.count > 1 {
        bounds.preemptions = nil
      }
      if parts.count > 2 {
        guard let pruning = ExhaustiveChoices.Pruning(rawValue: String(parts[2])) else {
          return nil
        }
        bounds.pruning = pruning
      }
      self = .exhaustive(bounds)
    default: return nil
    }
  }
}

/// One of n parts of the work, for CI jobs that share it.
public struct Shard: Hashable, Sendable, CustomStringConvertible {
  /// From 1.
  public let index: Int
  public let count: Int

  /// All of the work.
  public static let whole = Shard(index: 1, count: 1)

  private init(index: Int, count: Int) {
    self.index = index
    self.count = count
  }

  /// The shard `index` of `count`; nil unless 1 <= index <= count.
  public init?(_ index: Int, of count: Int) {
    guard count >= 1, (1...count).contains(index) else { return nil }
    self.init(index: index, count: count)
  }

  /// Reads `k/n`.
  public init?(parsing text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = Int(parts[0]), let count = Int(parts[1]) else { return nil }
    self.init(index, of: count)
  }

  /// Whether the `number`-th piece of work, from 0, falls into this shard.
  public func contains(_ number: Int) -> Bool { number % count == index - 1 }

  public var description: String { "\(index)/\(count)" }
}
