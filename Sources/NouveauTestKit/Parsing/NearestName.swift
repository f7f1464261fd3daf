/// Finds what a misspelt name was meant to be.
enum NearestName {
  /// Names longer than this are never compared: they can't be a slip of a short word.
  private static let longestCompared = 64

  /// The candidate nearest to `word`, or nil when none is near enough to be meant.
  ///
  /// Near enough is an edit distance of at most a third of the longer word, at least 1; a candidate
  /// that begins with `word` or the other way round counts as one edit. Ties go to the first.
  static func of(_ word: String, in candidates: [String]) -> String? {
    let folded = fold(word)
    guard !folded.isEmpty && folded.count <= longestCompared else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in candidates {
      let other = fold(candidate)
      let limit = max(1, max(folded.count, other.count) / 3)
      let distance = isPrefixPair(folded, other) ? 1 : editDistance(folded, other)
      guard distance <= limit else { continue }
      if distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
  }

  /// `did you mean X?` for a near name, else the list of what would be right.
  static func remedy(for word: String, in candidates: [String], what: String) -> String {
    if let near = of(word, in: candidates) { return "did you mean '\(near)'?" }
    if candidates.isEmpty { return "this file defines no \(what)" }
    let shown = candidates.prefix(24).joined(separator: ", ")
    return "\(what) is one of: \(shown)" + (candidates.count > 24 ? ", …" : "")
  }

  private static func fold(_ word: String) -> [Unicode.Scalar] {
    // Case and the choice between `_`, `-` and a space are the commonest slips of all.
    word.lowercased().unicodeScalars.map { $0 == "_" || $0 == " " ? "-" : $0 }
  }

  private static func isPrefixPair(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Bool {
    min(a.count, b.count) >= 3 && (a.starts(with: b) || b.starts(with: a))
  }

  /// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
  static func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var before = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    var row = previous
    for i in a.indices {
      row[0] = i + 1
      for j in b.indices {
        let replace = previous[j] + (a[i] == b[j] ? 0 : 1)
        row[j + 1] = min(replace, previous[j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          row[j + 1] = min(row[j + 1], before[j - 1] + 1)
        }
      }
      (before, previous, row) = (previous, row, before)
    }
    return previous[b.count]
  }
}
