import Base
public import DequeModule

/// Repeats decisions by where they were taken in the story instead of by their number in the run.
///
/// A decision is anchored to the task that could have gone on, or to the runnable that had just
/// come to rest, and to how often that one was there before. When an earlier decision is left out,
/// later ones keep their places; by number they would all have moved. Shortening depends on it.
public final class AnchoredChoices: Choices {
  /// Where a decision was taken.
  public struct Anchor: Hashable, Sendable {
    enum Kind: UInt8 {
      case point
      case rest
      case draw
    }
    let kind: Kind
    /// The running task, or the runnable that ran last; 0 for draws.
    let id: Int
    /// From 0.
    let ordinal: Int
  }

  /// A decision with its place.
  public struct Step: Hashable, Sendable {
    public let anchor: Anchor
    public let decision: Decision
  }

  private var decisions: [Anchor: Decision] = [:]
  private var replay: ReplayChoices?
  private var data: SplitMix64
  private var ordinals: [Anchor: Int] = [:]
  private var lastID = -1
  /// The decisions that had an effect, in the order in which they were taken.
  public private(set) var taken: [Step] = []

  /// Repeats a schedule by number, to learn its anchors.
  public init(learning schedule: Schedule) {
    replay = ReplayChoices(schedule)
    data = .dataDraws(seed: schedule.seed)
  }

  /// Repeats steps by their anchors; everywhere else the usual answer is given.
  public init(_ steps: [Step], seed: UInt64) {
    data = .dataDraws(seed: seed)
    for step in steps { decisions[step.anchor] = step.decision }
  }

  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }

  private func place(_ kind: Anchor.Kind, _ id: Int) -> Anchor {
    let key = Anchor(kind: kind, id: id, ordinal: 0)
    let ordinal = ordinals[key, default: 0]
    ordinals[key] = ordinal + 1
    return Anchor(kind: kind, id: id, ordinal: ordinal)
  }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    let anchor = current.map { place(.point, $0.id) } ?? place(.rest, lastID)
    let usual = current == nil ? Pick.ready(0) : .current
    let pick: Pick
    if let replay {
      pick = replay.pick(current: current, ready: ready, timeMayPass: timeMayPass)
    } else {
      let wanted = decisions[anchor]?.pick(
        current: current, ready: ready, timeMayPass: timeMayPass)
      pick = wanted ?? usual
    }
    if pick != usual {
      taken.append(
        Step(anchor: anchor, decision: Decision(pick, current: current, ready: ready)))
    }
    if case .ready(let index) = pick { lastID = ready[index].id }
    if let current, pick == .current { lastID = current.id }
    return pick
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int {
    let usual = data.below(bound)
    let anchor = place(.draw, 0)
    var value = usual
    if let replay {
      value = replay.draw(below: bound, label)
    } else if case .draw(let wanted)? = decisions[anchor]?.kind, wanted < bound {
      value = wanted
    }
    if value != usual { taken.append(Step(anchor: anchor, decision: .draw(value))) }
    return value
  }
}
