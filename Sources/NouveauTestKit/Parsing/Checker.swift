import Base
import Yams

/// Compares a YAML tree with the schema and collects everything that is wrong.
struct Checker {
  let file: String
  private(set) var diagnostics: [ScenarioDiagnostic] = []

  init(file: String) { self.file = file }

  func mark(of node: Node) -> SourceMark {
    SourceMark(
      file: file, line: max(1, node.mark?.line ?? 1), column: max(1, node.mark?.column ?? 1))
  }

  mutating func report(_ mark: SourceMark, _ problem: String, remedy: String) {
    diagnostics.append(ScenarioDiagnostic(mark, problem, remedy: remedy))
  }

  /// The value in its checked form, or nil when something in it is wrong and was reported.
  mutating func check(_ node: Node, _ type: SchemaType, at path: String) -> Checked? {
    let mark = mark(of: node)
    switch type {
    case .object(let name):
      return checkObject(node, Schema.object(name), at: path).map {
        Checked(mark: mark, value: .object($0))
      }
    case .list(let element):
      return checkList(node, element, at: path)
    case .table(let key, let value):
      return checkTable(node, key, value, at: path)
    case .either(let first, let second):
      return check(node, fits(node, first) ? first : second, at: path)
    case .nothing:
      guard case .scalar(let scalar) = node, ["", "~", "null"].contains(scalar.string) else {
        report(mark, "'\(path)' takes no value", remedy: "write '\(path):' with nothing behind it")
        return nil
      }
      return Checked(mark: mark, value: .nothing)
    default:
      guard case .scalar(let scalar) = node else {
        report(
          mark, "'\(path)' is \(shape(of: node))",
          remedy: "write \(SchemaText.form(type)), such as \(SchemaText.sample(type))")
        return nil
      }
      return checkScalar(scalar, type, at: path, mark)
    }
  }

  /// Whether the node has the shape of the form, for `either`.
  private func fits(_ node: Node, _ type: SchemaType) -> Bool {
    switch (node, type) {
    case (.mapping, .object), (.mapping, .table), (.sequence, .list): true
    case (.scalar, .object), (.scalar, .table), (.scalar, .list): false
    case (.scalar, _): true
    default: false
    }
  }

  private func shape(of node: Node) -> String {
    switch node {
    case .scalar(let scalar): scalar.string.isEmpty ? "empty" : "the text '\(scalar.string)'"
    case .sequence: "a list"
    case .mapping: "an object"
    case .alias: "an alias"
    }
  }

  private mutating func checkList(_ node: Node, _ element: SchemaType, at path: String) -> Checked?
  {
    guard case .sequence(let sequence) = node else {
      report(
        mark(of: node), "'\(path)' is \(shape(of: node))",
        remedy: "write a list of \(SchemaText.form(element)), one '- ' line each")
      return nil
    }
    guard !sequence.isEmpty else {
      report(
        mark(of: node), "'\(path)' is an empty list",
        remedy: "write at least one of \(SchemaText.form(element))")
      return nil
    }
    let items = sequence.map { check($0, element, at: path) }
    let good = items.compactMap { $0 }
    return good.count == items.count ? Checked(mark: mark(of: node), value: .list(good)) : nil
  }

  private mutating func checkTable(
    _ node: Node, _ keyType: SchemaType, _ valueType: SchemaType, at path: String
  ) -> Checked? {
    guard case .mapping(let mapping) = node else {
      report(
        mark(of: node), "'\(path)' is \(shape(of: node))",
        remedy: "write \(SchemaText.form(.table(key: keyType, value: valueType)))")
      return nil
    }
    var rows: [(key: Checked, value: Checked)] = []
    var isGood = true
    for (key, value) in mapping {
      let name = key.string ?? path
      guard let left = check(key, keyType, at: path), let right = check(value, valueType, at: name)
      else {
        isGood = false
        continue
      }
      rows.append((left, right))
    }
    return isGood ? Checked(mark: mark(of: node), value: .table(rows)) : nil
  }

  /// Checks an object's keys, its required keys and its groups.
  mutating func checkObject(_ node: Node, _ schema: SchemaObject, at path: String)
    -> CheckedObject?
  {
    let mark = mark(of: node)
    guard case .mapping(let mapping) = node else {
      report(
        mark, "'\(path)' is \(shape(of: node))",
        remedy: "write an object with the keys \(schema.keys.map(\.name).joined(separator: ", "))")
      return nil
    }
    let before = diagnostics.count
    var fields: [(key: String, mark: SourceMark, value: Checked)] = []
    var present: [String] = []
    for (key, value) in mapping {
      let keyMark = self.mark(of: key)
      guard let name = key.string, let known = schema.key(name) else {
        let shown = key.string.map { "'\($0)'" } ?? shape(of: key)
        report(
          keyMark, "\(shown) is no key of \(SchemaText.title(schema.name))",
          remedy: NearestName.remedy(
            for: key.string ?? "", in: schema.keys.map(\.name), what: "a key here"))
        // The key it was meant to be is not reported as lacking too.
        if let meant = NearestName.of(key.string ?? "", in: schema.keys.map(\.name)) {
          present.append(meant)
        }
        continue
      }
      present.append(name)
      if let checked = check(value, known.type, at: name) {
        fields.append((name, keyMark, checked))
      }
    }
    for key in schema.keys where key.isRequired && !present.contains(key.name) {
      report(
        mark, "\(SchemaText.title(schema.name)) lacks the key '\(key.name)'",
        remedy: "add '\(key.name): \(key.example)'")
    }
    for group in schema.groups { checkGroup(group, present, schema, mark) }
    return diagnostics.count == before
      ? CheckedObject(schema, mark, fields) : nil
  }

  private mutating func checkGroup(
    _ group: SchemaGroup, _ present: [String], _ schema: SchemaObject, _ mark: SourceMark
  ) {
    let found = present.filter { group.keys.contains($0) }
    let title = SchemaText.title(schema.name)
    let choices = group.keys.joined(separator: ", ")
    if found.isEmpty && group.count != .atMostOne {
      report(mark, "\(title) lacks one of its keys", remedy: "add one of: \(choices)")
    }
    if found.count > 1 && group.count != .atLeastOne {
      report(
        mark, "\(title) has \(found.map { "'\($0)'" }.joined(separator: " and ")) together",
        remedy: "keep one of them")
    }
  }
}
