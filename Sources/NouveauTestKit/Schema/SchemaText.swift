/// The schema's forms in words, for messages and for the document.
enum SchemaText {
  /// What a value of this form is; `words` says where many words are listed.
  static func form(_ type: SchemaType, words: String = "that `nouveau schema` lists") -> String {
    func form(_ type: SchemaType) -> String { Self.form(type, words: words) }
    return switch type {
    case .text: "text"
    case .choice(let choices):
      choices.count <= 6
        ? choices.map(\.name).joined(separator: " or ") : "one of the words \(words)"
    case .name(let kind): "a new name of a \(kind.rawValue) (letters, digits, '-', '_', '.')"
    case .reference(let kind): "the name of a \(kind.rawValue)"
    case .integer(let range):
      range.upperBound == .max
        ? "a whole number of at least \(range.lowerBound)"
        : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .size: "a size with a unit (B, KiB, MiB, GiB, pages)"
    case .duration: "a time with a unit (ns, us, ms, s)"
    case .flag: "true or false"
    case .pages: "pages, lower end first"
    case .offset: "a page and a byte in it below 4096"
    case .bytes: "bytes as pairs of hex digits"
    case .comparison: "a number, a comparison or a range"
    case .nothing: "nothing"
    case .list(let element): "a list of \(form(element))"
    case .object(let name): "an object (\(name.rawValue))"
    case .table(let key, let value): "an object from \(form(key)) to \(form(value))"
    case .either(let first, let second): "\(form(first)), or \(form(second))"
    }
  }

  /// A value of this form.
  static func sample(_ type: SchemaType) -> String {
    switch type {
    case .text: "'text'"
    case .choice(let choices): "'\(choices.first?.name ?? "")'"
    case .name(let kind), .reference(let kind): "'my-\(kind.rawValue)'"
    case .integer(let range): "\(range.lowerBound)"
    case .size(let range, _): "'\(Quantity.sizeText(range.lowerBound))'"
    case .duration: "'15 s' or '200 us'"
    case .flag: "true"
    case .pages: "'P3' or 'P0..P15'"
    case .offset: "'P3' or 'P3+16'"
    case .bytes: "'de ad be ef'"
    case .comparison: "'3', '>= 3' or '1..5'"
    case .nothing: "nothing"
    case .list(let element): "a list with \(sample(element))"
    case .object, .table: "an object"
    case .either(let first, _): sample(first)
    }
  }

  /// The object in a sentence.
  static func title(_ name: SchemaObjectName) -> String {
    switch name {
    case .scenario: "the scenario"
    case .machine: "'machine'"
    case .process: "a process"
    case .mapping: "a mapping"
    case .step: "a step"
    case .branch: "a branch"
    default: "'\(name.rawValue)'"
    }
  }
}
