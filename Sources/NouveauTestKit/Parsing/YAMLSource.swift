import Base
import Yams

/// A YAML text as a tree with marks. Turns whatever may be wrong with the text into a diagnostic.
enum YAMLSource {
  /// Longest file, in bytes.
  static let maximumBytes = 1 << 20
  /// Deepest nesting of lists and objects. Scenarios need about ten; the YAML library recurses.
  static let maximumDepth = 64

  /// The tree of the only document in `text`.
  static func tree(_ text: String, file: String) throws(ScenarioErrors) -> Node {
    try refuseExcess(text, file)
    // The YAML library keeps a pointer into the text while it reads; short strings have no stable
    // storage, so they are lengthened.
    let padded = text.utf8.count < 64 ? text + String(repeating: "\n", count: 64) : text
    do {
      guard let node = try compose(yaml: padded) else {
        throw ScenarioErrors([
          ScenarioDiagnostic(
            SourceMark(file: file, line: 1, column: 1), "the file is empty",
            remedy: "a scenario begins with the key 'scenario'")
        ])
      }
      return node
    } catch let error as ScenarioErrors {
      throw error
    } catch let error as YamlError {
      throw ScenarioErrors([diagnostic(error, file)])
    } catch {
      throw ScenarioErrors([
        ScenarioDiagnostic(
          SourceMark(file: file, line: 1, column: 1), "the file can't be read as YAML: \(error)",
          remedy: "write it as YAML 1.1")
      ])
    }
  }

  /// Refuses what would cost the YAML library unbounded stack or time: depth, size, aliases.
  private static func refuseExcess(_ text: String, _ file: String) throws(ScenarioErrors) {
    func refuse(_ line: Int, _ column: Int, _ problem: String, _ remedy: String)
      -> ScenarioErrors
    {
      ScenarioErrors([
        ScenarioDiagnostic(
          SourceMark(file: file, line: line, column: column), problem, remedy: remedy)
      ])
    }
    guard text.utf8.count <= maximumBytes else {
      throw refuse(1, 1, "the file has more than 1 MiB", "split it into several scenarios")
    }
    var open = 0
    var number = 0
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      // Every nested block starts further right than its parent, so the column bounds the depth.
      let lead = line.prefix { byte in " -?:".utf8.contains(byte) }
      if lead.count > 2 * maximumDepth && lead.count < line.count {
        throw refuse(number, lead.count, "nested too deep", "at most \(maximumDepth) levels")
      }
      for (column, byte) in line.enumerated() {
        switch byte {
        case UInt8(ascii: "["), UInt8(ascii: "{"): open += 1
        case UInt8(ascii: "]"), UInt8(ascii: "}"): open = max(0, open - 1)
        default: continue
        }
        if open > maximumDepth {
          throw refuse(number, column + 1, "nested too deep", "at most \(maximumDepth) levels")
        }
      }
      if let column = aliasColumn(Array(line)) {
        throw refuse(
          number, column, "aliases are not allowed", "write the value out, or quote the text")
      }
    }
  }

  /// The column of `*name` where a value may begin: aliases of aliases grow without bound.
  private static func aliasColumn(_ line: [UInt8]) -> Int? {
    var atStart = true
    for index in line.indices {
      let byte = line[index]
      if byte == UInt8(ascii: "#") && atStart { return nil }
      if byte == UInt8(ascii: "*") && atStart && index + 1 < line.count
        && line[index + 1] > UInt8(ascii: " ")
      {
        return index + 1
      }
      // A value begins at the line's start and after these; a space keeps the state.
      if byte != UInt8(ascii: " ") { atStart = "-:,[{?".utf8.contains(byte) }
    }
    return nil
  }

  private static func diagnostic(_ error: YamlError, _ file: String) -> ScenarioDiagnostic {
    func at(_ mark: Yams.Mark) -> SourceMark {
      SourceMark(file: file, line: max(1, mark.line), column: max(1, mark.column))
    }
    let top = SourceMark(file: file, line: 1, column: 1)
    switch error {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let within = context.map { " \($0.text) of line \($0.mark.line)" } ?? ""
      return ScenarioDiagnostic(
        at(mark), "not YAML: \(problem)\(within)",
        remedy: "check indentation, colons and quotes here and in the line before")
    case .duplicatedKeysInMapping(let duplicates, let context):
      return ScenarioDiagnostic(
        at(context.mark), "the key '\(duplicates.first ?? "")' stands twice in one object",
        remedy: "keep one of them")
    case .reader(let problem, let offset, _, _):
      return ScenarioDiagnostic(
        top, "not text: \(problem)\(offset.map { " at byte \($0)" } ?? "")",
        remedy: "save the file as UTF-8 without control characters")
    default:
      return ScenarioDiagnostic(
        top, "the file can't be read as YAML: \(error)", remedy: "write it as YAML 1.1")
    }
  }
}
