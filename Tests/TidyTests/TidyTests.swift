import Foundation
import Testing

/// The rules of the house that a compiler doesn't check: docs/architecture.md says why each exists.
@Suite struct TidyTests {
  let tree = SourceTree()

  @Test func files_areShortAndNarrow() throws {
    for folder in ["Sources", "Tests"] {
      for file in try tree.files(in: folder, ".swift") {
        #expect(file.lines.count <= 501, "\(file.path) has \(file.lines.count) lines")
        for (number, line) in file.lines.enumerated() {
          #expect(line.count <= 100, "\(file.path):\(number + 1) has \(line.count) columns")
          #expect(!line.contains("\t"), "\(file.path):\(number + 1) has a tab")
        }
      }
    }
  }

  @Test func functions_areShort() throws {
    for file in try tree.files(in: "Sources", ".swift") {
      for (start, length, name) in functions(file) {
        #expect(length <= 70, "\(file.path):\(start) \(name) has \(length) lines")
      }
    }
  }

  /// Where each function begins, how many lines it has and its first line: a function ends at the
  /// first line with its own indentation that is a closing brace.
  private func functions(_ file: SourceTree.File) -> [(Int, Int, String)] {
    var found: [(Int, Int, String)] = []
    for (index, line) in file.lines.enumerated() {
      let text = line.drop { $0 == " " }
      guard text.contains("func ") || text.hasPrefix("init(") || text.contains(" init("),
        !text.hasPrefix("//")
      else { continue }
      let indent = String(repeating: " ", count: line.count - text.count)
      guard let end = file.lines[index...].firstIndex(where: { $0 == indent + "}" }) else {
        continue
      }
      let next = file.lines[(index + 1)...].firstIndex {
        $0.hasPrefix(indent)
          && $0.dropFirst(indent.count).first.map { $0 != " " && $0 != ")" } ?? false
      }
      // A declaration without a body, in a protocol, ends before the next line at its indentation.
      if let next, next < end, file.lines[next] != indent + "{" { continue }
      found.append((index + 1, end - index + 1, String(text)))
    }
    return found
  }

  /// Rows from the bottom up; a module imports modules of lower rows only, and the two of a pair
  /// never import each other.
  static let rows: [[String]] = [
    ["Base"], ["KernelRuntime"], ["DeviceSeam", "NVHardware"],
    ["LinuxMM", "DMAFence", "Falcon"], ["Nouveau", "EmulatedGPU"],
    ["Machine", "PCIDiscovery"], ["NouveauTestKit", "Fuzzing"], ["NouveauCLI"],
  ]

  @Test func modules_importLowerRowsOnly() throws {
    var row: [String: Int] = [:]
    for (index, modules) in Self.rows.enumerated() {
      for module in modules { row[module] = index }
    }
    for file in try tree.files(in: "Sources", ".swift") {
      let own = try #require(row[file.module], "\(file.path) is in no module of the table")
      for line in file.lines {
        let words = line.split(separator: " ").map(String.init)
        guard let place = words.firstIndex(of: "import"), place <= 1, words.count > place + 1,
          let imported = row[words[place + 1]]
        else { continue }
        #expect(imported < own, "\(file.path) imports \(words[place + 1])")
      }
    }
  }

  /// What would bring order, time or failure in from elsewhere, or hide an error.
  @Test func sources_keepToTheRules() throws {
    let banned: [(text: String, allowed: [String], why: String)] = [
      ("try!", [], "an error is handled"),
      (" as! ", [], "a cast that can fail is handled"),
      ("nonisolated(unsafe)", [], "state belongs to a machine"),
      (
        " Task {", ["Sources/KernelRuntime/Execution/Kernel+Scheduling.swift"],
        "the runtime starts tasks"
      ),
      ("Task.sleep", [], "time comes from the runtime"),
      ("Date()", [], "time comes from the runtime"),
      ("SystemRandomNumberGenerator", [], "draws come from the runtime"),
      (".shuffled(", [], "order comes from the runtime"),
      (".randomElement(", [], "draws come from the runtime"),
      ("fatalError(", ["Sources/Base/Invariant.swift"], "invariant() says file and line"),
      ("preconditionFailure(", [], "precondition is mute in release builds"),
    ]
    for file in try tree.files(in: "Sources", ".swift") {
      for (number, line) in file.lines.enumerated() where !line.contains("///") {
        for rule in banned where line.contains(rule.text) && !rule.allowed.contains(file.path) {
          Issue.record("\(file.path):\(number + 1) has \(rule.text): \(rule.why)")
        }
      }
    }
  }

  @Test func unfinishedWork_hasNoMarks() throws {
    let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
    for folder in ["Sources", "Tests"] {
      for file in try tree.files(in: folder, ".swift") {
        for (number, line) in file.lines.enumerated() {
          for mark in marks where line.contains(mark) {
            // The kernel's own remark is quoted where the fault-around policy answers it.
            if line.contains("carries a " + mark) { continue }
            Issue.record("\(file.path):\(number + 1) has \(mark)")
          }
        }
      }
    }
  }

  @Test func handMadeSendability_saysWhy() throws {
    for file in try tree.files(in: "Sources", ".swift") {
      for (number, line) in file.lines.enumerated() where line.contains("@unchecked Sendable") {
        let near = file.lines[max(0, number - 6)...min(file.lines.count - 1, number + 6)]
        #expect(
          near.contains { $0.contains("Sendable is claimed by hand") || $0.contains("UNSAFE:") },
          "\(file.path):\(number + 1) claims to be Sendable without a reason beside it")
      }
    }
  }

  /// Hardware facts cite where they come from.
  @Test func hardwareDefinitions_citeTheirSource() throws {
    for file in try tree.files(in: "Sources/NVHardware", ".swift") {
      #expect(file.lines.contains { $0.contains("SOURCE:") }, "\(file.path) cites no source")
    }
  }

  @Test func links_inDocumentsResolve() throws {
    var documents = try tree.files(in: "docs", ".md") + tree.files(in: "Firmware", ".md")
    documents.append(
      SourceTree.File(
        path: "README.md", lines: try tree.text("README.md").components(separatedBy: "\n")))
    let link = try NSRegularExpression(pattern: #"\]\(([^)#\s]+)(#[^)]*)?\)"#)
    for file in documents {
      let folder = tree.root.appendingPathComponent(file.path).deletingLastPathComponent()
      for line in file.lines {
        let whole = NSRange(line.startIndex..., in: line)
        for match in link.matches(in: line, range: whole) {
          guard let range = Range(match.range(at: 1), in: line) else { continue }
          let target = String(line[range])
          if target.contains("://") || target.hasPrefix("mailto:") { continue }
          let path = folder.appendingPathComponent(target).path
          #expect(FileManager.default.fileExists(atPath: path), "\(file.path) links to \(target)")
        }
      }
    }
  }
}
