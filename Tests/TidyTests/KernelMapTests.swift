import Foundation
import Testing

/// `docs/kernel-map.md` is made from the sources' own comments, and so can't differ from them.
///
/// `NOUVEAU_WRITE_DOCS=1` writes the file anew.
@Suite struct KernelMapTests {
  let tree = SourceTree()

  /// One row: a kernel function or structure and its counterpart.
  struct Row: Hashable {
    var kernel: String
    var place: String
    var swift: String
    var file: String
  }

  @Test func kernelMap_saysWhatTheSourcesSay() throws {
    let rows = try self.rows()
    #expect(rows.count > 150, "only \(rows.count) kernel names found in comments")
    let text = document(rows)
    let path = tree.root.appendingPathComponent("docs/kernel-map.md")
    if ProcessInfo.processInfo.environment["NOUVEAU_WRITE_DOCS"] != nil {
      try text.write(to: path, atomically: true, encoding: .utf8)
    }
    let stands = try tree.text("docs/kernel-map.md")
    #expect(
      stands == text,
      "docs/kernel-map.md is out of date: NOUVEAU_WRITE_DOCS=1 swift test --filter kernelMap")
  }

  /// The functions of the driver's file that the project is named for are all there.
  @Test func everyPathOfTheDriver_isOnTheMap() throws {
    let kernel = Set(try rows().map(\.kernel))
    for name in [
      "nouveau_dmem_page_free", "nouveau_dmem_migrate_to_ram", "nouveau_dmem_chunk_alloc",
      "nouveau_dmem_page_alloc_locked", "nouveau_dmem_evict_chunk", "nouveau_dmem_fini",
      "nouveau_dmem_init", "nouveau_dmem_suspend", "nouveau_dmem_resume",
      "nouveau_dmem_migrate_vma", "nouveau_dmem_migrate_chunk", "nouveau_dmem_copy_one",
      "nouveau_fence_emit", "nouveau_fence_wait", "nouveau_fence_new",
      "nouveau_fence_context_kill", "nouveau_svmm_init", "nouveau_svmm_fini",
      "migrate_vma_setup", "migrate_vma_pages", "migrate_vma_finalize", "hmm_range_fault",
      "memremap_pages", "memunmap_pages", "dma_fence_signal",
    ] {
      #expect(kernel.contains { $0 == name }, "\(name) has no counterpart with a comment")
    }
  }

  private func rows() throws -> [Row] {
    var rows: [Row] = []
    for module in ["Nouveau", "LinuxMM", "DMAFence", "KernelRuntime", "DeviceSeam"] {
      for file in try tree.files(in: "Sources/\(module)", ".swift") { rows += self.rows(in: file) }
    }
    return Array(Set(rows)).sorted {
      ($0.kernel, $0.file, $0.swift, $0.place) < ($1.kernel, $1.file, $1.swift, $1.place)
    }
  }

  /// Kernel names of one file: those of `Kernel:` lines and those in backquotes in parentheses.
  private func rows(in file: SourceTree.File) -> [Row] {
    var rows: [Row] = []
    var comment: [String] = []
    var type = ""
    for line in file.lines {
      let text = line.trimmingCharacters(in: .whitespaces)
      if text.hasPrefix("///") {
        comment.append(String(text.dropFirst(3)).trimmingCharacters(in: .whitespaces))
        continue
      }
      if text.hasPrefix("@") && !text.contains("func ") && !text.contains("class ") { continue }
      let declared = declaration(text)
      if let declared, line.first != " ", declared.isType { type = declared.name }
      if let declared, !comment.isEmpty {
        let name =
          declared.isType || type.isEmpty || line.first != " "
          ? declared.name : "\(type).\(declared.name)"
        for (kernel, place) in names(comment) {
          rows.append(Row(kernel: kernel, place: place, swift: name, file: file.path))
        }
      }
      comment = []
    }
    return rows
  }

  private func declaration(_ text: String) -> (name: String, isType: Bool)? {
    let words = text.split(whereSeparator: { " (:<{".contains($0) }).map(String.init)
    for (index, word) in words.enumerated() {
      switch word {
      case "class", "struct", "enum", "protocol", "extension", "actor":
        if index + 1 < words.count, words[index + 1] != "func", words[index + 1] != "var" {
          return (words[index + 1], true)
        }
      case "func", "var", "let", "case":
        return index + 1 < words.count ? (words[index + 1], false) : nil
      case "init", "init?", "deinit": return (word, false)
      case "public", "package", "private", "internal", "fileprivate", "static", "final", "mutating",
        "consuming", "nonmutating", "lazy", "unowned", "weak", "override", "borrowing",
        "@discardableResult", "@inlinable", "@inline", "__always)", "set)", "private(set)",
        "never)",
        "public(package", "package(set)", "fileprivate(set)", "internal(set)", "set", "@safe",
        "indirect", "convenience", "nonisolated", "__always", "never", "frozen", "@frozen":
        continue
      default: return nil
      }
    }
    return nil
  }

  /// Kernel names in a comment's lines, with the file that the comment gives for them.
  private func names(_ lines: [String]) -> [(kernel: String, place: String)] {
    var found: [(String, String)] = []
    for (index, line) in lines.enumerated() {
      guard let start = line.range(of: "Kernel: ") else { continue }
      var list = String(line[start.upperBound...])
      var next = index + 1
      // A list goes on in the next line while it is open.
      while next < lines.count, list.hasSuffix(",") || (list.contains("(") && !list.contains(")")) {
        list += " " + lines[next]
        next += 1
      }
      var place = ""
      if let open = list.range(of: " ("), let close = list[open.upperBound...].firstIndex(of: ")") {
        place = String(list[open.upperBound..<close])
        list = String(list[..<open.lowerBound])
      }
      for part in list.components(separatedBy: ", ") {
        let name = part.trimmingCharacters(in: .whitespaces)
          .replacingOccurrences(of: "struct ", with: "")
        if isKernelName(name) { found.append((name, place)) }
      }
    }
    var rest = lines.joined(separator: " ")[...]
    while let open = rest.range(of: "(`"), let close = rest[open.upperBound...].range(of: "`") {
      let name = String(rest[open.upperBound..<close.lowerBound])
        .replacingOccurrences(of: "struct ", with: "")
      if isKernelName(name) { found.append((name, "")) }
      rest = rest[close.upperBound...]
    }
    return found
  }

  private func isKernelName(_ text: String) -> Bool {
    guard let first = text.first, first.isLowercase || first == "_" else { return false }
    return text.contains("_") && text.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }
  }

  private func document(_ rows: [Row]) -> String {
    var text = """
      # Kernel map

      Each function or structure of Linux 6.12 that a comment in the sources names as the original
      of something here, and its counterpart. A name can have several counterparts, and one
      counterpart several originals. The file is made from those comments by a test
      (`KernelMapTests`), which fails when the two differ;
      `NOUVEAU_WRITE_DOCS=1 swift test --filter kernelMap` writes it anew.

      | Linux | In | Here | File |
      | --- | --- | --- | --- |

      """
    for row in rows {
      let link = "[\(short(row.file))](../\(row.file))"
      text += "| `\(row.kernel)` | \(row.place) | `\(row.swift)` | \(link) |\n"
    }
    return text
  }

  private func short(_ path: String) -> String {
    path.split(separator: "/").dropFirst().joined(separator: "/")
  }
}
