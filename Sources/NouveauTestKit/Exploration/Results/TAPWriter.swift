/// Writes results as TAP, version 14.
///
/// SOURCE: testanything.org, "TAP 14 specification". A skipped check is `ok` there by rule, with
/// the directive that says so; an invalid one is `not ok`.
public struct TAPWriter: Sendable {
  public init() {}

  public func text(_ set: ResultSet) -> String {
    var lines = ["TAP version 14"]
    if set.results.isEmpty {
      return lines[0] + "\n1..0 # SKIP nothing was run\n"
    }
    lines.append("1..\(set.results.count)")
    for (index, result) in set.results.enumerated() {
      let title = Self.escape("\(result.suite): \(result.name)")
      switch result.status {
      case .passed: lines.append("ok \(index + 1) - \(title)")
      case .skipped:
        lines.append("ok \(index + 1) - \(title) # SKIP \(Self.escape(result.message))")
      case .failed, .invalid:
        lines.append("not ok \(index + 1) - \(title)")
        lines += diagnostic(result)
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  private func diagnostic(_ result: CheckResult) -> [String] {
    var lines = ["  ---"]
    lines.append("  severity: \(result.status == .invalid ? "invalid" : "fail")")
    lines.append("  message: \(Self.quote(result.message))")
    if let token = result.token { lines.append("  token: \(Self.quote(token))") }
    if let command = result.command { lines.append("  command: \(Self.quote(command))") }
    if !result.detail.isEmpty { lines.append("  detail: \(Self.quote(result.detail))") }
    lines.append("  ...")
    return lines
  }

  /// A description: `#` and `\` would begin a directive or an escape, a line's end would end it.
  static func escape(_ text: String) -> String {
    var escaped = ""
    for character in text {
      switch character {
      case "#": escaped += "\\#"
      case "\\": escaped += "\\\\"
      case _ where character.isNewline: escaped += " "
      default: escaped.append(character)
      }
    }
    return escaped
  }

  /// A YAML scalar in double quotes.
  static func quote(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case "\u{0}"..."\u{1f}", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
