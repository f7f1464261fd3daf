/// Reads scenario files. Total: any bytes give a scenario or a list of everything that is wrong.
public struct ScenarioParser {
  /// Reads a file that a scenario names, given the path as written; nil when it can't be read.
  public typealias FileReader = (String) -> [UInt8]?

  private let readFile: FileReader

  /// - Parameter readFile: reads the files of `fill: {file: …}`; by default none can be read.
  public init(readFile: @escaping FileReader = { _ in nil }) { self.readFile = readFile }

  /// The scenario in `text`; `file` is the name used in messages.
  public func parse(_ text: String, file: String) throws(ScenarioErrors) -> Scenario {
    let tree = try YAMLSource.tree(text, file: file)
    var checker = Checker(file: file)
    let checked = checker.checkObject(tree, Schema.object(.scenario), at: "scenario")
    guard let checked else { throw ScenarioErrors(checker.diagnostics) }
    var builder = ScenarioBuilder(file: file, readFile: readFile)
    let scenario = builder.scenario(checked)
    guard builder.diagnostics.isEmpty else { throw ScenarioErrors(builder.diagnostics) }
    return scenario
  }

  /// As ``parse(_:file:)``, from bytes that need not be text.
  public func parse(bytes: [UInt8], file: String) throws(ScenarioErrors) -> Scenario {
    if let text = String(validating: bytes, as: UTF8.self) { return try parse(text, file: file) }
    // The place of the first bad byte: everything before it decodes.
    var line = 1
    var column = 1
    var good = 0
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
      good += UTF8.width(scalar)
      if scalar == "\n" {
        line += 1
        column = 1
      } else {
        column += 1
      }
    }
    throw ScenarioErrors([
      ScenarioDiagnostic(
        SourceMark(file: file, line: line, column: column), "byte \(good) is not UTF-8",
        remedy: "save the file as UTF-8")
    ])
  }
}
