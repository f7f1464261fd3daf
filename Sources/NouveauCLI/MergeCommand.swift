import ArgumentParser
import NouveauTestKit

/// `nouveau merge`: results of shards as one.
struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Joins the JSON results of all shards into one.",
    discussion: """
      Each file is what `nouveau sweep` or `nouveau explore` printed with --json for
      one part of the work (--shard k/n). A part that is missing or there twice is
      an error, since what was not run would otherwise look passed.
      Exit status: 0 when everything passed, 1 when not, 2 when a file is bad or a
      part is missing.

      EXAMPLES
        nouveau explore docs/scenarios/*.yaml --shard 1/2 --json > 1.json
        nouveau explore docs/scenarios/*.yaml --shard 2/2 --json > 2.json
        nouveau merge 1.json 2.json --junit explore.xml
      """)

  @Argument(help: "Files of results.", completion: .file(extensions: ["json"]))
  var files: [String]

  @OptionGroup var forms: ResultForms

  func validate() throws {
    if files.isEmpty { throw ValidationError("Name the files of all shards.") }
  }

  func run() throws {
    try forms.prepare()
    var sets: [ResultSet] = []
    for path in files {
      guard let bytes = ScenarioFile.read(path) else {
        Terminal.complain("\(path): error: the file can't be read; name a file of results\n")
        throw ExitCode(2)
      }
      do throws(ResultSet.FormatError) {
        sets.append(try ResultSet(json: String(decoding: bytes, as: UTF8.self)))
      } catch {
        Terminal.complain("\(path): error: \(error)\n")
        throw ExitCode(2)
      }
    }
    let merged: ResultSet
    do throws(ResultSet.MergeError) {
      merged = try ResultSet.merge(sets)
    } catch {
      Terminal.complain("\(error)\n")
      throw ExitCode(2)
    }
    if !forms.json {
      for result in merged.results where result.status != .passed {
        Terminal.print(
          "\(result.status.rawValue): \(result.suite): \(result.name): \(result.message)\n"
            + (result.command.map { "  repeat: \($0)\n" } ?? ""))
      }
    }
    try forms.finish(merged)
  }
}
