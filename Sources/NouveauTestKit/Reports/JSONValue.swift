/// A JSON value that is written in the order it was built, so that equal runs give equal text.
public indirect enum JSONValue: Sendable {
  case string(String)
  case number(UInt64)
  case integer(Int)
  /// A number whose text is given, such as `0.125`.
  case literal(String)
  case flag(Bool)
  case null
  case list([JSONValue])
  case object([(String, JSONValue)])

  /// The value as text; indented by two spaces a level unless compact.
  public func text(isCompact: Bool = false) -> String {
    var output = ""
    write(to: &output, indent: isCompact ? nil : 0)
    return output
  }

  private func write(to output: inout String, indent: Int?) {
    switch self {
    case .string(let text): Self.write(text, to: &output)
    case .number(let number): output += String(number)
    case .integer(let number): output += String(number)
    case .literal(let text): output += text
    case .flag(let flag): output += flag ? "true" : "false"
    case .null: output += "null"
    case .list(let items):
      Self.write(items.count, "[", "]", to: &output, indent) { index, inner, output in
        items[index].write(to: &output, indent: inner)
      }
    case .object(let fields):
      Self.write(fields.count, "{", "}", to: &output, indent) { index, inner, output in
        Self.write(fields[index].0, to: &output)
        output += inner == nil ? ":" : ": "
        fields[index].1.write(to: &output, indent: inner)
      }
    }
  }

  private static func write(
    _ count: Int, _ open: String, _ close: String, to output: inout String, _ indent: Int?,
    item: (Int, Int?, inout String) -> Void
  ) {
    output += open
    let inner = indent.map { $0 + 2 }
    for index in 0..<count {
      if index > 0 { output += "," }
      if let inner { output += "\n" + String(repeating: " ", count: inner) }
      item(index, inner, &output)
    }
    if let indent, count > 0 { output += "\n" + String(repeating: " ", count: indent) }
    output += close
  }

  private static func write(_ text: String, to output: inout String) {
    output += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": output += "\\\""
      case "\\": output += "\\\\"
      case "\n": output += "\\n"
      case "\t": output += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let hex = String(scalar.value, radix: 16)
        output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: output.unicodeScalars.append(scalar)
      }
    }
    output += "\""
  }
}
