import Foundation
import Machine

/// Reads scenario files from disk.
public enum ScenarioFile {
  /// The scenario in the file at `path`; files that it names are read beside it. A GPU whose
  /// microcode isn't here is an error too.
  public static func load(_ path: String) throws(ScenarioErrors) -> Scenario {
    if isFolder(path) {
      throw ScenarioErrors([
        ScenarioDiagnostic(
          SourceMark(file: path, line: 1, column: 1), "this is a folder",
          remedy: "name the scenario files in it, such as \(path)/*.yaml")
      ])
    }
    guard let bytes = read(path) else {
      throw ScenarioErrors([
        ScenarioDiagnostic(
          SourceMark(file: path, line: 1, column: 1), "the file can't be read",
          remedy: "name a readable scenario file (docs/scenarios.md says how to write one)")
      ])
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let parser = ScenarioParser { name in read(name.hasPrefix("/") ? name : folder + "/" + name) }
    let scenario = try parser.parse(bytes: bytes, file: path)
    if let mark = scenario.machine.profileMark,
      let problem = GPUProfiles.whatIsMissing(for: scenario.machine.profile)
    {
      let remedy = "run the command in the project's folder, or name another profile"
      throw ScenarioErrors([ScenarioDiagnostic(mark, problem, remedy: remedy)])
    }
    return scenario
  }

  private static func isFolder(_ path: String) -> Bool {
    URL(fileURLWithPath: path).hasDirectoryPath
  }

  /// A file's bytes; nil for a folder and for what can't be read.
  public static func read(_ path: String) -> [UInt8]? {
    guard !isFolder(path) else { return nil }
    return FileManager.default.contents(atPath: path).map { [UInt8]($0) }
  }
}
