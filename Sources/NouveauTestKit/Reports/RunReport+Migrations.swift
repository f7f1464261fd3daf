extension RunReport {
  /// Which pages stayed in each migration and why, as a table for `--explain`.
  public func explanation() -> String {
    guard let migrations, !migrations.isEmpty else { return "  no migration\n" }
    var lines: [String] = []
    for note in migrations {
      lines.append("  step \(note.step), \(note.title): \(note.outcome)")
      let places = note.stayed.map { "\($0.pages)" }
      let width = places.reduce(0) { max($0, $1.count) }
      let nameWidth = note.stayed.reduce(0) { max($0, $1.reason.count) }
      for (place, part) in zip(places, note.stayed) {
        lines.append(
          "    \(Self.padded(place, width))  \(Self.padded(part.reason, nameWidth))  \(part.detail)"
        )
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}

extension MigrationNote {
  /// How many pages moved and stayed, in words.
  fileprivate var outcome: String {
    let left = stayed.reduce(0) { $0 + $1.pages.count }
    let all = span.pages.count
    guard let moved else { return "failed, \(left) of \(all) pages explained" }
    return "\(moved) of \(all) pages moved, \(left == 0 ? "none" : "\(left)") stayed"
  }

  /// The note as a JSON object.
  var json: JSONValue {
    .object([
      ("step", .string(step)),
      ("title", .string(title)),
      ("mapping", .string(span.mapping)),
      ("pages", .integer(span.pages.count)),
      ("moved", moved.map { .integer($0) } ?? .null),
      (
        "stayed",
        .list(
          stayed.map { part in
            .object([
              ("first", .integer(part.pages.first)),
              ("last", .integer(part.pages.last)),
              ("reason", .string(part.reason)),
              ("detail", .string(part.detail)),
            ])
          })
      ),
    ])
  }
}
