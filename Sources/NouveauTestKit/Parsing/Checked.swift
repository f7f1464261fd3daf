import Base

/// A value of a scenario file that has the form its schema asks for, with its place.
struct Checked {
  indirect enum Value {
    case text(String)
    case number(UInt64)
    case flag(Bool)
    case pages(PageRange)
    case offset(MappingOffset)
    case bytes([UInt8])
    case comparison(Comparison)
    case nothing
    case list([Checked])
    case object(CheckedObject)
    case table([(key: Checked, value: Checked)])
  }

  let mark: SourceMark
  let value: Value

  // Each accessor answers for one form. Asking for another is a disagreement between the table and
  // the code that reads it, which the test of every sample would show.

  var text: String {
    guard case .text(let text) = value else { wrong("text") }
    return text
  }
  var number: UInt64 {
    guard case .number(let number) = value else { wrong("a number") }
    return number
  }
  var flag: Bool {
    guard case .flag(let flag) = value else { wrong("a flag") }
    return flag
  }
  var pages: PageRange {
    guard case .pages(let pages) = value else { wrong("pages") }
    return pages
  }
  var offset: MappingOffset {
    guard case .offset(let offset) = value else { wrong("an offset") }
    return offset
  }
  var bytes: [UInt8] {
    guard case .bytes(let bytes) = value else { wrong("bytes") }
    return bytes
  }
  var comparison: Comparison {
    guard case .comparison(let comparison) = value else { wrong("a comparison") }
    return comparison
  }
  var list: [Checked] {
    guard case .list(let list) = value else { wrong("a list") }
    return list
  }
  var object: CheckedObject {
    guard case .object(let object) = value else { wrong("an object") }
    return object
  }
  var table: [(key: Checked, value: Checked)] {
    guard case .table(let table) = value else { wrong("a table") }
    return table
  }

  private func wrong(_ form: String) -> Never {
    invariantFailed("the schema and its reader disagree at \(mark): not \(form)")
  }
}

/// An object with known keys only, all required ones among them.
final class CheckedObject {
  let schema: SchemaObject
  let mark: SourceMark
  let fields: [(key: String, mark: SourceMark, value: Checked)]

  init(
    _ schema: SchemaObject, _ mark: SourceMark,
    _ fields: [(key: String, mark: SourceMark, value: Checked)]
  ) {
    self.schema = schema
    self.mark = mark
    self.fields = fields
  }

  /// The value of an optional key.
  subscript(_ key: String) -> Checked? {
    invariant(schema.key(key) != nil, "\(schema.name.rawValue) has no key '\(key)'")
    return fields.first { $0.key == key }?.value
  }

  /// The value of a required key.
  func required(_ key: String) -> Checked {
    guard let value = self[key] else {
      invariantFailed("'\(key)' of \(schema.name.rawValue) was let through unset")
    }
    return value
  }
}
