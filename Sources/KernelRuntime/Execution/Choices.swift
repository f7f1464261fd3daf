import Base
public import DequeModule

/// What a strategy answers when more than one thing could happen next.
public enum Pick: Hashable, Sendable {
  /// The running task goes on.
  case current
  /// The ready runnable at this index goes next.
  case ready(Int)
  /// Time passes to the next timer although something could run.
  case time
}

/// The one source of order and of random draws: every strategy is an implementation.
///
/// A run is determined by the answers given here; an implementation that records them can repeat
/// it.
public protocol Choices: AnyObject {
  /// Whether a scheduling point may switch away from a task that could go on.
  var preempts: Bool { get }
  /// Whether anything but the oldest ready runnable may be chosen.
  var reorders: Bool { get }
  /// Whether time may pass while something could run.
  var advancesTime: Bool { get }
  /// Chooses what happens next. `current` is the running task at a scheduling point, nil when the
  /// last runnable has come to rest. `ready` is never empty when `timeMayPass` is false.
  func pick(current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool) -> Pick
  /// A number in `0..<bound` for model data.
  func draw(below bound: Int, _ label: StaticString) -> Int
  /// Tells that `task` polls and gives way (``Kernel/yield()``).
  func yields(_ task: Runnable)
  /// Tells that from here on the flow only sets its world up, or does so no longer: what a search
  /// through all orders needn't vary. A run begins without.
  func setsUp(_ isSettingUp: Bool)
  /// Where the runtime notes what each step touches; nil for strategies that don't ask.
  var footprints: Footprints? { get }
}

extension Choices {
  public func yields(_ task: Runnable) {}
  public func setsUp(_ isSettingUp: Bool) {}
  public var footprints: Footprints? { nil }
}

/// First come, first served, without preemption: the plain order, and the fastest.
public final class FIFOChoices: Choices {
  private var generator: SplitMix64

  /// - Parameter seed: seeds draws of model data; order doesn't depend on it.
  public init(seed: UInt64 = 0) { generator = SplitMix64(seed: seed) }

  public var preempts: Bool { false }
  public var reorders: Bool { false }
  public var advancesTime: Bool { false }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    current == nil ? .ready(0) : .current
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int { generator.below(bound) }
}

/// A uniform random walk over everything that could happen next, from one seed.
public final class RandomWalkChoices: Choices {
  public let seed: UInt64
  private var order: SplitMix64
  private var data: SplitMix64

  public init(seed: UInt64) {
    self.seed = seed
    var generator = SplitMix64(seed: seed)
    order = generator.split()
    data = generator.split()
  }

  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    let own = current == nil ? 0 : 1
    let outcome = order.below(own + ready.count + (timeMayPass ? 1 : 0))
    if outcome < own { return .current }
    return outcome - own < ready.count ? .ready(outcome - own) : .time
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int { data.below(bound) }
}
