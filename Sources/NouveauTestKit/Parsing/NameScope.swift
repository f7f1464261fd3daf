/// The names a file declares, and where. Names of one kind are unique in the file.
struct NameScope {
  private var declared: [(kind: NameKind, name: String, mark: SourceMark)] = []

  /// Declares a name; the earlier place when it is taken.
  mutating func declare(_ kind: NameKind, _ name: String, at mark: SourceMark) -> SourceMark? {
    if let earlier = declared.first(where: { $0.kind == kind && $0.name == name }) {
      return earlier.mark
    }
    declared.append((kind, name, mark))
    return nil
  }

  func names(of kind: NameKind) -> [String] {
    declared.filter { $0.kind == kind }.map(\.name)
  }

  func contains(_ kind: NameKind, _ name: String) -> Bool {
    declared.contains { $0.kind == kind && $0.name == name }
  }
}
