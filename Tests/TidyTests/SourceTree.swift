import Foundation

/// The package's own files, as the tidy tests see them.
struct SourceTree {
  struct File {
    /// Relative to the package, such as `Sources/Base/BitField.swift`.
    let path: String
    let lines: [String]

    var module: String {
      let parts = path.split(separator: "/")
      return parts.count > 1 ? String(parts[1]) : ""
    }
  }

  let root: URL

  init() {
    root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
  }

  /// Files below `folder` whose names end in `suffix`, by path.
  func files(in folder: String, _ suffix: String) throws -> [File] {
    let base = root.appendingPathComponent(folder)
    guard let walk = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)
    else {
      return []
    }
    var found: [File] = []
    for case let url as URL in walk where url.lastPathComponent.hasSuffix(suffix) {
      let path = String(url.path.dropFirst(root.path.count + 1))
      if path.contains("/.build/") { continue }
      let text = try String(contentsOf: url, encoding: .utf8)
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      found.append(File(path: path, lines: lines))
    }
    return found.sorted { $0.path < $1.path }
  }

  func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }
}
