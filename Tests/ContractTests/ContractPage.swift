import Foundation

/// docs/contract.md as rows.
struct ContractPage {
  struct Row {
    /// Such as `R19`.
    let rule: String
    let source: String
    /// compiler, check, test or n/a.
    let how: String
    /// What stands in backquotes in the last cell: files, and `file: name`.
    let places: [Place]
    /// The words of the last cell outside backquotes.
    let reason: String
  }

  struct Place {
    /// Relative to the package.
    let path: String
    /// A test function, or the declaration of a misuse.
    let name: String?
  }

  /// The package's folder.
  static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  let rows: [Row]

  init() throws {
    let text = try Self.text("docs/contract.md")
    rows = text.split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|", omittingEmptySubsequences: false)
        .map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 7, cells[1].first == "R", cells[1].dropFirst().allSatisfy(\.isNumber)
      else { return nil }
      let parts = cells[5].split(separator: "`", omittingEmptySubsequences: false)
      let places = parts.indices.filter { $0 % 2 == 1 }.map { index in
        let halves = parts[index].split(separator: ":")
        return Place(
          path: String(halves[0]),
          name: halves.count > 1 ? halves[1].trimmingCharacters(in: .whitespaces) : nil)
      }
      let words = parts.indices.filter { $0 % 2 == 0 }.map { parts[$0] }.joined()
      return Row(
        rule: cells[1], source: cells[3], how: cells[4], places: places,
        reason: words.replacingOccurrences(of: ";", with: "").trimmingCharacters(in: .whitespaces))
    }
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }
}
