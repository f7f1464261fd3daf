public import Base
import DMAFence
public import KernelRuntime

/// The fences of one context, in the order in which they were made, as a trace shows them.
public struct FenceTimeline: Hashable, Sendable {
  /// One fence: its way from emit over signal to who waited for it.
  public struct Point: Hashable, Sendable {
    public let seqno: UInt64
    /// Nanoseconds; nil for a fence that was there before the trace began.
    public fileprivate(set) var emitted: UInt64?
    /// Nanoseconds; nil while the fence is pending.
    public fileprivate(set) var signalled: UInt64?
    /// What the fence was signalled with; nil for success.
    public fileprivate(set) var error: KernelError?
    /// Who went on because of it, or gave up waiting.
    public fileprivate(set) var waiters: [Waiter] = []
    /// When somebody needs it; nil when nobody said so.
    public fileprivate(set) var deadline: UInt64?
  }

  /// The end of one wait.
  public struct Waiter: Hashable, Sendable {
    public let task: String
    public let time: UInt64
    /// The limit passed, or a signal came, before the fence did.
    public let hasGivenUp: Bool

    public init(task: String, time: UInt64, hasGivenUp: Bool) {
      self.task = task
      self.time = time
      self.hasGivenUp = hasGivenUp
    }
  }

  /// The fence core's number.
  public let context: UInt64
  /// The context's row in the trace, or who made its first fence.
  public let name: String
  public fileprivate(set) var points: [Point] = []

  public var pending: Int { points.count { $0.signalled == nil } }
  public var failed: Int { points.count { $0.error != nil } }

  /// The timelines of a trace, by their first event.
  public static func all(in trace: Trace) -> [FenceTimeline] {
    var timelines: [FenceTimeline] = []
    // Looked up only; order comes from the array.
    var places: [UInt64: Int] = [:]
    var pointPlaces: [[UInt64: Int]] = []
    for event in trace.events where isOfFence(event.kind) {
      let row = trace.rows[event.row.index]
      let place: Int
      if let known = places[event.a] {
        place = known
      } else {
        place = timelines.count
        places[event.a] = place
        pointPlaces.append([:])
        let name = row.name.hasPrefix("fence ") ? String(row.name.dropFirst(6)) : row.name
        timelines.append(FenceTimeline(context: event.a, name: name))
      }
      let index: Int
      if let known = pointPlaces[place][event.b] {
        index = known
      } else {
        index = timelines[place].points.count
        pointPlaces[place][event.b] = index
        timelines[place].points.append(Point(seqno: event.b))
      }
      timelines[place].points[index].take(event, row.name)
    }
    return timelines
  }

  private static func isOfFence(_ kind: TraceKind) -> Bool {
    [TraceKind.fenceEmit, .fenceSignal, .fenceWait, .fenceGiveUp, .fenceDeadline].contains(kind)
  }
}

extension FenceTimeline.Point {
  fileprivate mutating func take(_ event: TraceEvent, _ row: String) {
    switch event.kind {
    case .fenceEmit: emitted = event.time
    case .fenceSignal:
      signalled = event.time
      error = event.c == 0 ? nil : KernelError(errno: Int32(truncatingIfNeeded: event.c))
    case .fenceWait:
      waiters.append(FenceTimeline.Waiter(task: row, time: event.time, hasGivenUp: false))
    case .fenceGiveUp:
      waiters.append(FenceTimeline.Waiter(task: row, time: event.time, hasGivenUp: true))
    default: deadline = event.c
    }
  }
}
