import Foundation
import NouveauTestKit
import Testing

/// Files of the repository that the tests read.
enum Repository {
  static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appending(path: path), encoding: .utf8)
  }

  /// The shipped scenarios by file name, in order.
  static func scenarios() throws -> [(name: String, text: String)] {
    let names = try FileManager.default.contentsOfDirectory(
      atPath: root.appending(path: "docs/scenarios").path)
    return try names.filter { $0.hasSuffix(".yaml") }.sorted().map {
      ($0, try text("docs/scenarios/\($0)"))
    }
  }
}

@Suite struct SchemaTests {
  @Test func theDocument_holdsTheTableAsItIs() throws {
    let keys = SchemaDocument.markdown()
    let path = "docs/scenarios.md"
    if ProcessInfo.processInfo.environment["NOUVEAU_WRITE_DOCS"] != nil {
      let old = try Repository.text(path)
      let head = old.components(separatedBy: "## Keys\n")[0]
      try (head + keys).write(
        to: Repository.root.appending(path: path), atomically: true, encoding: .utf8)
    }
    #expect(
      try Repository.text(path).hasSuffix(keys),
      "docs/scenarios.md is behind the schema: NOUVEAU_WRITE_DOCS=1 swift test --filter SchemaTests"
    )
  }

  @Test func everyKey_isInTheDocumentWithAnExample() throws {
    let document = try Repository.text("docs/scenarios.md")
    for object in Schema.objects {
      for key in object.keys {
        let example = key.example.isEmpty ? "\(key.name):" : "\(key.name): \(key.example)"
        let row = document.split(separator: "\n").first {
          $0.hasPrefix("| `\(key.name)` |")
            && $0.contains("`\(example)`".replacing("|", with: "\\|"))
        }
        #expect(row != nil, "\(object.name.rawValue).\(key.name)")
      }
    }
  }

  /// "One of the words below" is a promise.
  @Test func everyWord_isInTheDocument() throws {
    let document = try Repository.text("docs/scenarios.md")
    func words(_ type: SchemaType) -> [SchemaChoice] {
      switch type {
      case .choice(let choices): choices.count > 6 ? choices : []
      case .list(let element): words(element)
      case .table(let first, let second), .either(let first, let second):
        words(first) + words(second)
      default: []
      }
    }
    for object in Schema.objects {
      for key in object.keys {
        for word in words(key.type) {
          let isThere = document.contains("\n| `\(word.name)` | ")
          #expect(isThere, "\(word.name) of \(object.name.rawValue).\(key.name)")
        }
      }
    }
  }

  @Test func everyExampleInTheDocument_parses() throws {
    let document = try Repository.text("docs/scenarios.md")
    let blocks = document.components(separatedBy: "```yaml\n").dropFirst()
      .compactMap { $0.components(separatedBy: "```").first }
    #expect(blocks.count > Schema.objects.count)
    for block in blocks {
      #expect(Kit.errors(SchemaDocument.completed(block)) == [], "\(block)")
    }
  }

  @Test func theExampleOfEachKeyOfAStep_parsesInItsPlace() {
    for key in Schema.objects.first(where: { $0.name == .step })?.keys ?? []
    where !["name", "fails", "gpu"].contains(key.name) {
      // Names that the example refers to are made by the steps before it.
      let text = SchemaDocument.completed(
        """
        steps:
          - pin: {name: guard\(key.name == "pin" ? "-0" : ""), mapping: buffer}
          - hold: {name: busy\(key.name == "hold" ? "-0" : ""), mapping: buffer, page: P0}
          - spawn:
              task: toucher\(key.name == "spawn" ? "-0" : "")
              steps: [{touch: {mapping: buffer}}]
          - \(key.name): \(key.example)
        """)
      #expect(Kit.errors(text) == [], "\(key.name)")
    }
  }

  @Test func everyShippedScenario_parses() throws {
    let scenarios = try Repository.scenarios()
    #expect(scenarios.count >= 20)
    for (name, text) in scenarios {
      #expect(Kit.errors(text) == [], "\(name)")
      #expect(text.hasPrefix("# "), "\(name) begins with a comment that says what it shows")
      #expect(text.contains("\nscenario: \(name.dropLast(5))\n"), "\(name) carries its name")
    }
  }
}
