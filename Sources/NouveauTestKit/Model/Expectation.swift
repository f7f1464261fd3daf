public import KernelRuntime

/// What should hold at one moment.
public struct Expectation: Sendable {
  /// Bytes of pages.
  public var data: [(span: PageSpan, check: ReadCheck)] = []
  /// Where pages lie.
  public var locations: [(span: PageSpan, location: PageLocation)] = []
  /// Why pages stayed in the last migration, any of these; nil among them allows pages that moved.
  public var reasons: [(span: PageSpan, allowed: [String?])] = []
  /// Counters of the machine by the schema's names.
  public var counters: [(name: String, Comparison)] = []
  /// Outcomes of the steps so far by name; nil when nothing is expected.
  public var errors: ErrorExpectation?
  /// How often points were made to fail.
  public var injected: [(point: InjectionPoint, Comparison)] = []
  public var fences: FenceExpectation?
  public var trace: TraceExpectation?
  /// The audit finds no offence.
  public var noLeaks = false

  public init() {}
}

/// Errors that steps came back with.
public enum ErrorExpectation: Sendable {
  case none
  case counts([(name: String, Comparison)])
}

/// The status of all fences.
public struct FenceExpectation: Sendable {
  public var signalled: Comparison?
  public var failed: Comparison?
  public var pending: Comparison?
}

/// Events of the trace by name.
public struct TraceExpectation: Sendable {
  public var order: [String] = []
  public var absent: [String] = []
  public var counts: [(name: String, Comparison)] = []
}
