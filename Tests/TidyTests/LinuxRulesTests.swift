import Foundation
import Testing

/// `docs/linux-rules.md` names the tests that show each clause: they exist, under these names.
@Suite struct LinuxRulesTests {
  let tree = SourceTree()

  /// What a row names in backquotes, as `Suite` or `Suite: test`.
  private struct Place {
    let suite: String
    let test: String?
  }

  private func rows() throws -> [(clause: String, places: [Place])] {
    try tree.text("docs/linux-rules.md").split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard line.hasPrefix("|"), let clause = cells.first, clause != "---" else { return nil }
      let words = cells.dropFirst().joined(separator: " ").split(
        separator: "`", omittingEmptySubsequences: false)
      let places = words.indices.filter { $0 % 2 == 1 }.map { index in
        let parts = words[index].components(separatedBy: ": ")
        return Place(suite: parts[0], test: parts.count > 1 ? parts[1] : nil)
      }
      return (clause, places)
    }.filter { !["Clause", "Reason"].contains($0.clause) }
  }

  @Test func everyTestNamed_exists() throws {
    var functions: [String: Set<String>] = [:]
    for file in try tree.files(in: "Tests", ".swift") {
      let suite = file.path.split(separator: "/").last?.dropLast(".swift".count) ?? ""
      for line in file.lines {
        guard let start = line.range(of: "func ") else { continue }
        let name = line[start.upperBound...].prefix { $0 != "(" && $0 != "<" }
        functions[String(suite), default: []].insert(String(name))
      }
    }
    for (clause, places) in try rows() {
      #expect(!places.isEmpty, "'\(clause)' names no test")
      for place in places {
        let known = functions[place.suite]
        #expect(known != nil, "'\(clause)' names \(place.suite), which is no file of tests")
        guard let test = place.test else { continue }
        #expect(known?.contains(test) == true, "'\(clause)': \(place.suite) has no \(test)")
      }
    }
  }

  /// A page that lost most of its rows would still be true.
  @Test func noClauseIsLost() throws {
    #expect(try rows().count >= 45)
  }
}
