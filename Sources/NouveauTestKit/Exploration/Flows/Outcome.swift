public import Base
public import KernelRuntime

/// Something wrong that a run showed.
public struct Offence: Hashable, Sendable, CustomStringConvertible, Codable {
  /// What kind it is; the same for every run that shows the same thing.
  public let name: String
  /// The objects.
  public let detail: String
  /// The last event about the object before the run was looked at: time in ns, row, event. Nil
  /// while no trace was kept, and when no event names the object.
  public let origin: String?

  public init(name: String, detail: String = "", origin: String? = nil) {
    self.name = name
    self.detail = detail
    self.origin = origin
  }

  public var description: String {
    (detail.isEmpty ? name : "\(name): \(detail)") + (origin.map { " (made by: \($0))" } ?? "")
  }
}

/// What a task or step of a flow came back with; nil for success.
public struct ReturnedError: Hashable, Sendable, CustomStringConvertible {
  public let task: String
  public let error: KernelError?
  /// The error's name, or that of a signal; nil for success.
  public let name: String?

  init(task: String, error: KernelError?) {
    self.task = task
    self.error = error
    name = error?.name
  }

  init(task: String, outcome: StepOutcome) {
    self.task = task
    switch outcome {
    case .error(let error): self.error = error
    case .success, .signal, .outOfMemory: error = nil
    }
    name = outcome == .success ? nil : outcome.name
  }

  public var description: String { "\(task): \(name ?? "ok")" }
}

/// A point of interest that a run reached, and how often.
public struct Mark: Hashable, Sendable {
  public let name: String
  public internal(set) var count: UInt64
}

/// What came of one run.
public struct Outcome: Sendable {
  public var offences: [Offence]
  /// In the order in which they came back.
  public let returned: [ReturnedError]
  /// How often each injection point of the flow was passed while failures could strike; only points
  /// that were.
  public let passages: [Passage]
  /// The injections that struck at least once, by their index in the run's list.
  public let struck: [Bool]
  /// The passages of the flow's points when the first injection struck, that one among them.
  public let passagesAtFirstStrike: [Passage]
  public let marks: [Mark]
  public let coverage: Coverage
  /// The run's choices, complete enough to repeat it.
  public let schedule: Schedule
  /// Of every decision: the same number for the same order.
  public let orderHash: UInt64
  /// Of the trace; 0 when it was off.
  public let traceHash: UInt64
  /// Where a replay went astray.
  public var divergence: Divergence?
  /// Steps that the runtime dispatched.
  public let steps: UInt64

  /// No offence, no injection that didn't strike, no replay gone astray.
  public var isClean: Bool {
    offences.isEmpty && divergence == nil && !struck.contains(false)
  }

  /// The distinct errors that came back, in order; `ok` when none did.
  public var returnedText: String {
    var names: [String] = []
    for item in returned {
      if let name = item.name, !names.contains(name) { names.append(name) }
    }
    return names.isEmpty ? "ok" : names.joined(separator: ",")
  }
}

/// How often a run passed an injection point.
public struct Passage: Hashable, Sendable {
  public let point: InjectionPoint
  public let count: UInt64
}
