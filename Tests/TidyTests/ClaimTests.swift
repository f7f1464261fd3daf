import Foundation
import Testing

/// Pages that say of each thing the project was asked for where it is and which tests show it. A
/// table's row names its places in backquotes: a file, or a file and a function in it as
/// `Tests/…/X.swift: name`. What a page names has to be there.
@Suite struct ClaimTests {
  /// The pages, and the rows that each has at least.
  static let pages: [(path: String, atLeast: Int)] = [("docs/test-kit-claims.md", 60)]

  struct Place {
    let row: Int
    let path: String
    /// A function; nil for the file as a whole.
    let name: String?
    var isTest: Bool { path.contains("Tests/") && name != nil }
  }

  let tree = SourceTree()

  /// The rows of a page's tables, without their heads.
  private func rows(_ page: String) throws -> [(number: Int, cells: [String])] {
    try tree.text(page).components(separatedBy: "\n").enumerated().compactMap { index, line in
      guard line.hasPrefix("| "), line.hasSuffix(" |") else { return nil }
      let cells = line.dropFirst(2).dropLast(2).components(separatedBy: " | ")
      if cells.allSatisfy({ $0.allSatisfy { $0 == "-" || $0 == ":" } }) { return nil }
      return (index + 1, cells.map { $0.trimmingCharacters(in: .whitespaces) })
    }
  }

  /// What stands in backquotes and is a place.
  private func places(_ row: (number: Int, cells: [String])) -> [Place] {
    row.cells.flatMap { cell in
      let parts = cell.components(separatedBy: "`")
      return parts.indices.filter { $0 % 2 == 1 }.compactMap { index -> Place? in
        let halves = parts[index].components(separatedBy: ": ")
        guard halves[0].contains("/"), !halves[0].contains(" ") else { return nil }
        return Place(row: row.number, path: halves[0], name: halves.count > 1 ? halves[1] : nil)
      }
    }
  }

  @Test(arguments: pages.map(\.path))
  func everyPlace_exists(_ page: String) throws {
    var texts: [String: String] = [:]
    for place in try rows(page).flatMap(places) {
      guard let name = place.name else {
        let url = tree.root.appendingPathComponent(place.path)
        #expect(
          FileManager.default.fileExists(atPath: url.path),
          "\(page):\(place.row): there is no \(place.path)")
        continue
      }
      let text = texts[place.path] ?? (try? tree.text(place.path)) ?? ""
      texts[place.path] = text
      #expect(
        text.contains("func \(name)(") || text.contains("func \(name)<"),
        "\(page):\(place.row): \(place.path) has no \(name)")
    }
  }

  /// A row without a test is a claim, and a test that is switched off shows nothing.
  @Test(arguments: pages.map(\.path))
  func everyRow_hasATest(_ page: String) throws {
    let rows = try rows(page)
    let heads = ["what was asked", "rule"]
    let claims = rows.filter { !heads.contains($0.cells[0]) }
    let least = Self.pages.first { $0.path == page }?.atLeast ?? 0
    #expect(claims.count >= least, "\(page) has \(claims.count) rows")
    for row in claims {
      let isShown = places(row).contains { $0.isTest }
      #expect(isShown, "\(page):\(row.number) names no test")
    }
  }
}
