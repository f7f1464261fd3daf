import Base
public import DequeModule

/// Repeats a schedule; where it names nothing, or what it names isn't there, the usual answer.
///
/// Whether the run was the same is for ``Schedule/divergence(of:)`` to say: a shortened schedule is
/// meant to go its own way.
public final class ReplayChoices: Choices {
  private var entries: [Schedule.Entry]
  private var data: SplitMix64
  private var next = 0
  private var index = 0

  public init(_ schedule: Schedule) {
    entries = schedule.entries
    data = .dataDraws(seed: schedule.seed)
  }

  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    if let decision = take(),
      let pick = decision.pick(current: current, ready: ready, timeMayPass: timeMayPass)
    {
      return pick
    }
    return current == nil ? .ready(0) : .current
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int {
    let usual = data.below(bound)
    if let decision = take(), case .draw(let value) = decision.kind, value < bound { return value }
    return usual
  }

  private func take() -> Decision? {
    defer { index += 1 }
    guard next < entries.count, entries[next].index == index else { return nil }
    defer { next += 1 }
    return entries[next].decision
  }
}
