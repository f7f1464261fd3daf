import KernelRuntime

/// One thing that did not hold in a run.
public struct Mismatch: Hashable, Sendable {
  /// The step's number, or what stands for it, such as `end`.
  public let step: String
  /// What the step is.
  public let title: String
  /// Its place in the scenario file.
  public let mark: SourceMark
  public let expected: String
  public let got: String
  /// For an offence of the audit, the last event about its object: time in ns, row, event. Nil when
  /// no event names it.
  public internal(set) var origin: String?

  public init(step: String, title: String, mark: SourceMark, expected: String, got: String) {
    self.step = step
    self.title = title
    self.mark = mark
    self.expected = expected
    self.got = got
  }

  /// Whether the audit of the machine found it.
  var isOfAudit: Bool { expected == Self.auditExpectation }
  static let auditExpectation = "no offence"

  func withOrigin(in trace: Trace) -> Mismatch {
    guard isOfAudit, origin == nil, let event = trace.origin(of: got) else { return self }
    var mismatch = self
    mismatch.origin = trace.words(event)
    return mismatch
  }
}

/// What came of one run of one scenario.
public struct RunReport: Sendable {
  public let scenario: String
  public let file: String
  public let covers: [String]
  public let seed: UInt64
  public let isRealTime: Bool
  /// What did not hold, in the order it was found; empty when the run passed.
  public let mismatches: [Mismatch]
  /// Steps that ran, those of branches and repetitions each time.
  public let stepCount: Int
  /// Points that were made to fail, with how often.
  public let injected: [(point: String, strikes: UInt64)]
  /// Counters of the target at the end.
  public let counters: [(name: String, value: UInt64)]
  /// Nanoseconds on the kernel's clock.
  public let duration: UInt64
  /// What migrations to the device did and why pages stayed; nil when nobody asked.
  public let migrations: [MigrationNote]?

  public var passed: Bool { mismatches.isEmpty }

  /// The command that repeats the run.
  public var replay: String {
    "nouveau run \(Self.quoted(file)) --seed \(seed)" + (isRealTime ? " --realtime" : "")
  }

  /// The word as a shell takes it.
  static func quoted(_ word: String) -> String {
    let plain = word.unicodeScalars.allSatisfy { scalar in
      scalar.isASCII
        && (scalar.properties.isAlphabetic || "0123456789/._-+,:@".unicodeScalars.contains(scalar))
    }
    if plain && !word.isEmpty { return word }
    return "'"
      + word.split(separator: "'", omittingEmptySubsequences: false)
      .joined(separator: "'\\''") + "'"
  }
}
