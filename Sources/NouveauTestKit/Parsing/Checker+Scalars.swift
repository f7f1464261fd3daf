import Base
import Yams

extension Checker {
  /// Checks a scalar against its form.
  mutating func checkScalar(
    _ scalar: Node.Scalar, _ type: SchemaType, at path: String, _ mark: SourceMark
  ) -> Checked? {
    let text = scalar.string
    func found(_ value: Checked.Value?) -> Checked? {
      value.map { Checked(mark: mark, value: $0) }
    }
    let result: Checked?
    switch type {
    case .text, .name, .reference:
      let isName = if case .text = type { false } else { true }
      result = found(isName && !Self.isName(text) || text.isEmpty ? nil : .text(text))
    case .choice(let choices):
      return checkChoice(text, choices, at: path, mark)
    case .integer(let range):
      guard let number = Quantity.number(text) else {
        result = nil
        break
      }
      guard range.contains(number) else {
        report(
          mark, "'\(path)' is \(number)",
          remedy: "write a number from \(range.lowerBound) to \(range.upperBound)")
        return nil
      }
      result = found(.number(number))
    case .size(let range, let unit):
      guard let bytes = Quantity.size(text) else {
        result = nil
        break
      }
      return checkSize(bytes, range, unit, at: path, mark)
    case .flag:
      result = found(text == "true" ? .flag(true) : text == "false" ? .flag(false) : nil)
    case .duration: result = found(Quantity.duration(text).map { .number($0) })
    case .pages: result = found(Quantity.pages(text).map { .pages($0) })
    case .offset: result = found(Quantity.offset(text).map { .offset($0) })
    case .bytes: result = found(Quantity.bytes(text).map { .bytes($0) })
    case .comparison: result = found(Quantity.comparison(text).map { .comparison($0) })
    case .nothing, .list, .object, .table, .either: result = nil
    }
    if result == nil {
      let shown = text.isEmpty ? "is empty" : "is '\(text)'"
      report(
        mark, "'\(path)' \(shown)",
        remedy: "write \(SchemaText.form(type)), such as \(SchemaText.sample(type))")
    }
    return result
  }

  private mutating func checkChoice(
    _ text: String, _ choices: [SchemaChoice], at path: String, _ mark: SourceMark
  ) -> Checked? {
    guard choices.contains(where: { $0.name == text }) else {
      report(
        mark, "'\(path)' is '\(text)'",
        remedy: NearestName.remedy(for: text, in: choices.map(\.name), what: "the value"))
      return nil
    }
    return Checked(mark: mark, value: .text(text))
  }

  private mutating func checkSize(
    _ bytes: UInt64, _ range: ClosedRange<UInt64>, _ unit: UInt64, at path: String,
    _ mark: SourceMark
  ) -> Checked? {
    guard range.contains(bytes) else {
      report(
        mark, "'\(path)' is \(Quantity.sizeText(bytes))",
        remedy: "write a size from \(Quantity.sizeText(range.lowerBound)) to "
          + Quantity.sizeText(range.upperBound))
      return nil
    }
    guard bytes.isMultiple(of: unit) else {
      report(
        mark, "'\(path)' is \(bytes) bytes",
        remedy: "write a multiple of \(Quantity.sizeText(unit))")
      return nil
    }
    return Checked(mark: mark, value: .number(bytes))
  }

  /// Names are words of letters, digits, `-`, `_` and `.`.
  static func isName(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 64
      && text.unicodeScalars.allSatisfy {
        $0.isASCII
          && ($0.properties.isAlphabetic || ("0"..."9").contains($0)
            || "-_.".unicodeScalars.contains($0))
      }
  }
}
