/// Why a check of a flow failed, in one line: what is wrong, how to see it again.
public struct FlowViolation: Error, Hashable, Sendable, CustomStringConvertible {
  public let flow: String
  public let problem: String
  /// Repeats the run.
  public let token: String?
  /// The test that found it, as `swift test --filter` takes it.
  public let test: String

  /// The command that repeats the run within its test.
  public var command: String? {
    token.map { "\(ReplayRequest.variable)=\($0) swift test --filter '\(test)'" }
  }

  public var description: String {
    "\(flow): \(problem.split(whereSeparator: \.isNewline).joined(separator: " "))"
      + (command.map { " | repeat: \($0)" } ?? "")
  }
}

/// The run that whoever started the tests wants to see again.
public enum ReplayRequest {
  /// The environment variable that carries a token.
  public static let variable = "NOUVEAU_REPLAY"
}
