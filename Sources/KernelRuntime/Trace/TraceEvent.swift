/// A kind of event, with names for its arguments. Each layer declares its own kinds.
public struct TraceKind: Hashable, Sendable {
  /// As printed, in the kernel's or the manual's words.
  public let name: String
  /// Names of up to four arguments, in order.
  public let arguments: [String]
  /// What a viewer draws: a point, a span with a duration, or the ends of a flow arrow.
  public let shape: Shape

  public enum Shape: Sendable, Hashable {
    /// One moment.
    case point
    /// A stretch of time on its row.
    case span
    /// The start of an arrow; the first two arguments name the flow.
    case flowStart
    /// A station of an arrow.
    case flowStep
    /// The end of an arrow.
    case flowEnd
  }

  public init(_ name: String, _ arguments: [String] = [], shape: Shape = .point) {
    self.name = name
    self.arguments = arguments
    self.shape = shape
  }

  public static func == (a: TraceKind, b: TraceKind) -> Bool { a.name == b.name }
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

/// A group of rows in the trace.
public enum TraceGroup: String, Sendable, CaseIterable {
  case kernel
  case cpu = "CPU tasks"
  case interrupts
  case engines
  case fences
}

/// A row of the trace: a task, an engine or a fence context.
public struct TraceRow: Hashable, Sendable {
  public let index: Int
  /// The row of events that belong to no runnable.
  public static let kernel = TraceRow(index: 0)
}

/// One event: when, on which row, what, and up to four numbers.
public struct TraceEvent: Sendable {
  /// Nanoseconds of the kernel's clock.
  public let time: UInt64
  /// Nanoseconds; 0 unless the kind is a span.
  public let duration: UInt64
  public let row: TraceRow
  public let kind: TraceKind
  public let a: UInt64
  public let b: UInt64
  public let c: UInt64
  public let d: UInt64

  /// The arguments that the kind names.
  public var arguments: [(name: String, value: UInt64)] {
    Array(zip(kind.arguments, [a, b, c, d])).map { (name: $0.0, value: $0.1) }
  }
}
