/// What the caller of a run may override.
public struct RunOptions: Sendable {
  /// Instead of the scenario's own seed.
  public var seed: UInt64?
  /// Wall clock instead of the scenario's own mode.
  public var isRealTime = false
  /// Keep the trace although no expectation needs it.
  public var isTracing = false
  /// Keep why pages stayed although no expectation needs it.
  public var explains = false

  public init(
    seed: UInt64? = nil, isRealTime: Bool = false, isTracing: Bool = false, explains: Bool = false
  ) {
    self.explains = explains
    self.seed = seed
    self.isRealTime = isRealTime
    self.isTracing = isTracing
  }
}

/// What a run tells while it goes on.
public enum RunProgress: Sendable {
  case began(Step)
  case ended(Step, StepOutcome)
}
