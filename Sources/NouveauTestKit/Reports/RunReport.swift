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

  public init(step: String, title: String, mark: SourceMark, expected: String, got: String) {
    self.step = step
    self.title = title
    self.mark = mark
    self.expected = expected
    self.got = got
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
