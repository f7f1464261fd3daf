/// The choices of one run: a seed for draws, and every decision that wasn't the usual one.
public struct Schedule: Hashable, Sendable {
  /// A decision that differs from the plain order.
  public struct Entry: Hashable, Sendable {
    /// Which decision of the run, from 0.
    public let index: Int
    public let decision: Decision
    /// Eight bits of what was seen up to the decision.
    public let check: UInt8

    public init(index: Int, decision: Decision, check: UInt8 = 0) {
      self.index = index
      self.decision = decision
      self.check = check
    }
  }

  /// Of draws for model data.
  public let seed: UInt64
  /// In rising order of their index.
  ///
  /// INVARIANT: all indexes are distinct and no decision is the usual one.
  public let entries: [Entry]
  /// How many decisions the run had; 0 with ``hash`` 0 when that isn't known.
  public let decisionCount: Int
  /// Of everything seen at the decisions.
  public let hash: UInt32

  public init(seed: UInt64, entries: [Entry], decisionCount: Int = 0, hash: UInt32 = 0) {
    self.seed = seed
    self.entries = entries
    self.decisionCount = decisionCount
    self.hash = hash
  }

  /// The plain order.
  public init(seed: UInt64 = 0) { self.init(seed: seed, entries: []) }

  /// Whether a repetition can be checked against what was seen first.
  public var isChecked: Bool { decisionCount > 0 || hash != 0 }

  /// How many decisions give way to another although the running task could go on, or change the
  /// order in another way.
  public var deviations: Int { entries.count }
}

/// Where a repetition of a schedule went astray: the flow isn't what it was.
public struct Divergence: Error, Hashable, Sendable, CustomStringConvertible {
  /// The decision, from 0.
  public let step: Int
  public let explanation: String

  public var description: String { "replay diverges at decision \(step): \(explanation)" }
}

extension Schedule {
  /// Compares what a replay did with this schedule; nil when it did the same.
  public func divergence(of replay: RecordingChoices) -> Divergence? {
    for entry in entries {
      guard entry.index < replay.decisions.count else {
        return Divergence(
          step: replay.decisions.count,
          explanation: "the run ends here, the schedule goes on to decision \(entry.index)")
      }
      if isChecked && replay.checks[entry.index] != entry.check {
        return Divergence(
          step: entry.index, explanation: "what could run here or before isn't what it was")
      }
      if replay.decisions[entry.index] != entry.decision {
        return Divergence(
          step: entry.index, explanation: "\(entry.decision.kind) can't be chosen here")
      }
    }
    guard isChecked else { return nil }
    if replay.decisions.count != decisionCount {
      return Divergence(
        step: min(replay.decisions.count, decisionCount),
        explanation: "\(replay.decisions.count) decisions instead of \(decisionCount)")
    }
    if UInt32(truncatingIfNeeded: replay.hash >> 32) != hash {
      return Divergence(
        step: (entries.last?.index ?? -1) + 1,
        explanation: "between here and the end, what could run isn't what it was")
    }
    return nil
  }
}
