import Base
public import DequeModule

/// Probabilistic concurrency testing: random priorities with a few random changes.
///
/// SOURCE: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A randomized scheduler with
/// probabilistic guarantees of finding bugs", ASPLOS 2010. A run of n tasks and k steps finds a
/// defect of depth d (one that d ordering constraints make visible) with a chance of at least
/// 1 / (n k^(d-1)).
///
/// Departures from the paper:
/// - A step is a decision with more than one option, so k is smaller and the chance higher.
/// - Time is one more runnable; each event gets a priority of its own, as if it were a new task, so
///   that a timer that rearms itself doesn't keep everybody else out.
/// - A task that polls (``Kernel/yield()``) falls below all others, and so does one that goes on
///   for ``patience`` decisions in a row while another could run; the paper assumes tasks that end.
/// - Time doesn't pass a ready runnable by for long (``Kernel/raceHorizon``), so a runnable of low
///   priority has its turn although tasks that sleep and wake in turn stand above it.
public final class PCTChoices: Choices {
  /// Decisions in a row before a runnable that never gives way loses its priority.
  public static let patience = 1000

  private var order: SplitMix64
  private var data: SplitMix64
  /// By runnable id; 0 where none was drawn yet. The highest runs.
  private var priorities: [UInt64] = []
  private var timePriority: UInt64 = 0
  /// Decisions at which a priority changes, in rising order.
  private var changes: [Int] = []
  private var nextChange = 0
  private var step = 0
  /// The next priority below all that were given so far.
  private var floor: UInt64 = 1 << 32
  private var lastID = -1
  private var streak = 0

  /// - Parameters:
  ///   - depth: ordering constraints of the defects looked for, at least 1.
  ///   - steps: decisions that a run is expected to have.
  public init(seed: UInt64, depth: Int, steps: Int) {
    invariant(depth >= 1, "a defect has at least depth 1, got \(depth)")
    var generator = SplitMix64(seed: seed)
    order = generator.split()
    data = .dataDraws(seed: seed)
    let bound = max(steps, 1)
    for _ in 1..<depth { changes.append(order.below(bound)) }
    changes.sort()
    timePriority = drawPriority()
  }

  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }

  /// Initial priorities lie above 2^32, priorities after a change below.
  private func drawPriority() -> UInt64 { order.next() | 1 << 63 }

  private func priority(_ id: Int) -> UInt64 {
    while priorities.count <= id { priorities.append(0) }
    if priorities[id] == 0 { priorities[id] = drawPriority() }
    return priorities[id]
  }

  private func demote(_ id: Int) {
    _ = priority(id)
    floor -= 1
    priorities[id] = floor
  }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    while nextChange < changes.count && changes[nextChange] <= step {
      nextChange += 1
      // The paper lowers the task that would run at the change point.
      let (pick, id) = highest(current, ready, timeMayPass)
      if pick == .time { timePriority = lowered() } else { demote(id) }
    }
    step += 1
    var (pick, id) = highest(current, ready, timeMayPass)
    streak = id == lastID ? streak + 1 : 0
    lastID = id
    if streak >= Self.patience {
      streak = 0
      if pick != .time { demote(id) }
      (pick, id) = highest(current, ready, timeMayPass)
    }
    if pick == .time { timePriority = drawPriority() }
    return pick
  }

  private func lowered() -> UInt64 {
    floor -= 1
    return floor
  }

  private func highest(
    _ current: Runnable?, _ ready: borrowing Deque<Runnable>, _ timeMayPass: Bool
  ) -> (Pick, id: Int) {
    var best: UInt64 = 0
    var answer = (Pick.time, id: -1)
    if let current {
      best = priority(current.id)
      answer = (.current, current.id)
    }
    for index in ready.indices {
      let mine = priority(ready[index].id)
      if mine > best {
        best = mine
        answer = (.ready(index), ready[index].id)
      }
    }
    if timeMayPass && timePriority > best { answer = (.time, -1) }
    return answer
  }

  public func yields(_ task: Runnable) { demote(task.id) }

  public func draw(below bound: Int, _ label: StaticString) -> Int { data.below(bound) }
}
