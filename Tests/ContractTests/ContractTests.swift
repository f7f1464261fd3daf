import Foundation
import Testing

/// docs/contract.md says the truth: every rule has a row, and what a row names exists.
@Suite struct ContractTests {
  @Test func everyRule_hasOneRowInOrder() throws {
    let page = try ContractPage()
    #expect(page.rows.map(\.rule) == (1...104).map { "R\($0)" })
    for row in page.rows { #expect(row.source.count > 2, "\(row.rule) names no source") }
  }

  @Test func everyRow_namesWhatHoldsTheRule() throws {
    for row in try ContractPage().rows {
      switch row.how {
      case "compiler":
        #expect(
          row.places.contains { $0.path == Misuse.file }, "\(row.rule) names no misuse")
      case "check":
        #expect(
          row.places.contains { $0.path.hasPrefix("Sources/") }, "\(row.rule) names no source")
      case "test":
        #expect(row.places.contains { $0.name != nil }, "\(row.rule) names no test")
      case "n/a":
        #expect(!row.reason.isEmpty, "\(row.rule) gives no reason")
      default:
        Issue.record("\(row.rule) is held by '\(row.how)'")
      }
    }
  }

  @Test func everyPlace_exists() throws {
    var texts: [String: String] = [:]
    for row in try ContractPage().rows {
      for place in row.places {
        let text: String
        if let known = texts[place.path] {
          text = known
        } else {
          text = try #require(
            try? ContractPage.text(place.path), "\(row.rule): there is no \(place.path)")
          texts[place.path] = text
        }
        guard let name = place.name else { continue }
        if place.path == Misuse.file {
          #expect(Misuse.all.contains { $0.name == name }, "\(row.rule): no misuse \(name)")
        } else {
          #expect(text.contains("func \(name)("), "\(row.rule): no \(name) in \(place.path)")
        }
      }
    }
  }

  /// A misuse that no row names, or a row's misuse that is never compiled, would be idle.
  @Test func everyMisuse_isNamedByARow() throws {
    let named = try ContractPage().rows.flatMap(\.places).filter { $0.path == Misuse.file }
    for misuse in Misuse.all {
      #expect(named.contains { $0.name == misuse.name }, "\(misuse.name) stands for no rule")
    }
  }

  /// Nothing of a defect is in a release build: each use lies within `#if DEBUG`.
  @Test func defects_areCompiledInDebugBuildsOnly() throws {
    let base = ContractPage.root.appendingPathComponent("Sources")
    let walk = try #require(
      FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil))
    var uses = 0
    for case let url as URL in walk where url.pathExtension == "swift" {
      var depth = 0
      var debugDepth: Int?
      let text = try String(contentsOf: url, encoding: .utf8)
      for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        let code = line.trimmingCharacters(in: .whitespaces)
        if code.hasPrefix("#if") {
          depth += 1
          if code == "#if DEBUG" && debugDepth == nil { debugDepth = depth }
        } else if code.hasPrefix("#endif") {
          if debugDepth == depth { debugDepth = nil }
          depth -= 1
        } else if code.hasPrefix("#else") && debugDepth == depth {
          debugDepth = nil
        }
        guard code.contains("defect") || code.contains("Defect"), !code.hasPrefix("//") else {
          continue
        }
        // Words of messages and of other modules don't count: only the driver's switch does.
        guard code.contains("defect ==") || code.contains("Defect?") || code.contains("enum Defect")
        else { continue }
        uses += 1
        #expect(debugDepth != nil, "\(url.lastPathComponent):\(number + 1) is in release builds")
      }
    }
    #expect(uses > 10, "the hooks weren't found, so nothing was checked")
  }
}
