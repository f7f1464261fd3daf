/// A place in a scenario file; line and column count from 1, columns in Unicode scalars.
public struct SourceMark: Hashable, Sendable, CustomStringConvertible {
  /// The file as the caller named it.
  public let file: String
  public let line: Int
  public let column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  public var description: String { "\(file):\(line):\(column)" }
}

/// One thing that is wrong with a scenario file: where, what, and what would be right.
public struct ScenarioDiagnostic: Hashable, Sendable, CustomStringConvertible {
  public let mark: SourceMark
  /// What is wrong, in the words of the file.
  public let problem: String
  /// What would be right; never empty.
  public let remedy: String

  public init(_ mark: SourceMark, _ problem: String, remedy: String) {
    self.mark = mark
    self.problem = problem
    self.remedy = remedy
  }

  /// `file:line:column: error: problem; remedy`, the form that editors jump from.
  public var description: String { "\(mark): error: \(problem); \(remedy)" }
}

/// Everything that is wrong with a scenario file, in the order of the file. Never empty.
public struct ScenarioErrors: Error, Hashable, Sendable, CustomStringConvertible {
  public let diagnostics: [ScenarioDiagnostic]

  public init(_ diagnostics: [ScenarioDiagnostic]) {
    self.diagnostics = diagnostics.sorted {
      ($0.mark.line, $0.mark.column) < ($1.mark.line, $1.mark.column)
    }
  }

  public var description: String {
    diagnostics.map(\.description).joined(separator: "\n")
  }
}
