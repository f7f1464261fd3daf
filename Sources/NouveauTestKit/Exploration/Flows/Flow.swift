public import KernelRuntime

/// Something that can be run again and again under other orders and with other failures.
///
/// A flow builds its whole world in ``run(_:)``, from the run's choices and failures alone, so that
/// the same choices give the same run. It is used by one thread at a time.
public protocol Flow {
  /// As printed in reports and tokens.
  var name: String { get }
  /// The injection points that a sweep may fail, in order.
  var points: [InjectionPoint] { get }
  /// The protocols whose states and edges are counted.
  var protocols: [ProtocolMap] { get }
  /// Whether the flow notes every access to what its tasks share (``Kernel/touch(_:writing:)``), so
  /// that equivalent orders may be left out.
  ///
  /// That includes the clock, where it is read (``SharedObject/clock``); the runtime's locks,
  /// queues, timers and draws are noted by themselves. Passages of injection points are not, so a
  /// flow that arms failures itself must say no.
  var notesWhatIsShared: Bool { get }
  /// Builds the world, runs it, and says what is wrong with its end through `run`.
  ///
  /// An error thrown counts as what the flow returned.
  func run(_ run: FlowRun) throws
}

extension Flow {
  public var points: [InjectionPoint] { InjectionPoint.all }
  public var protocols: [ProtocolMap] { [] }
  public var notesWhatIsShared: Bool { false }
}

/// A flow of tasks over the runtime, from a closure that starts them.
///
/// The closure makes the world with ``FlowRun/kernel``, starts tasks with ``FlowRun/task(_:_:)``,
/// and states with ``FlowRun/atEnd(_:)`` what must hold when all of them have come to rest. Tasks
/// that sleep for ever, and what the lock checks found, are offences without being asked for.
public struct TaskFlow: Flow {
  public let name: String
  public let points: [InjectionPoint]
  public let protocols: [ProtocolMap]
  public let notesWhatIsShared: Bool
  private let setUp: (FlowRun) -> Void

  public init(
    _ name: String, points: [InjectionPoint] = InjectionPoint.all,
    protocols: [ProtocolMap] = [], notesWhatIsShared: Bool = false,
    _ setUp: @escaping (FlowRun) -> Void
  ) {
    self.name = name
    self.points = points
    self.protocols = protocols
    self.notesWhatIsShared = notesWhatIsShared
    self.setUp = setUp
  }

  public func run(_ run: FlowRun) {
    setUp(run)
    run.runTasks()
  }
}
