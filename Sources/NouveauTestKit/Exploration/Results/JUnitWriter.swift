/// Writes results as JUnit XML, in the dialect that Jenkins and GitLab read.
///
/// SOURCE: the schema of the Jenkins xUnit plug-in (`junit-10.xsd`). What is invalid is an
/// `<error>`: the check itself didn't work.
public struct JUnitWriter: Sendable {
  /// The name of the outer element.
  public var title = "nouveau"

  public init() {}

  public func text(_ set: ResultSet) -> String {
    var lines = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>"]
    lines.append("<testsuites name=\"\(Self.escape(title))\"\(counts(set.results))>")
    for suite in set.suites {
      let results = set.results.filter { $0.suite == suite }
      lines.append("  <testsuite name=\"\(Self.escape(suite))\"\(counts(results))>")
      for result in results { add(result, to: &lines) }
      lines.append("  </testsuite>")
    }
    lines.append("</testsuites>")
    return lines.map { $0 + "\n" }.joined()
  }

  private func counts(_ results: [CheckResult]) -> String {
    func count(_ status: CheckResult.Status) -> Int { results.count { $0.status == status } }
    return " tests=\"\(results.count)\" failures=\"\(count(.failed))\""
      + " errors=\"\(count(.invalid))\" skipped=\"\(count(.skipped))\""
  }

  private func add(_ result: CheckResult, to lines: inout [String]) {
    lines.append(
      "    <testcase classname=\"\(Self.escape(result.suite))\""
        + " name=\"\(Self.escape(result.name))\">"
    )
    if !result.properties.isEmpty || result.runs != 1 {
      lines.append("      <properties>")
      for property in [.init("runs", String(result.runs))] + result.properties {
        lines.append(
          "        <property name=\"\(Self.escape(property.name))\""
            + " value=\"\(Self.escape(property.value))\"/>")
      }
      lines.append("      </properties>")
    }
    let message = Self.escape(result.message)
    switch result.status {
    case .passed: break
    case .skipped: lines.append("      <skipped message=\"\(message)\"/>")
    case .failed: problem("failure", message, result, &lines)
    case .invalid: problem("error", message, result, &lines)
    }
    lines.append("    </testcase>")
  }

  private func problem(
    _ element: String, _ message: String, _ result: CheckResult, _ lines: inout [String]
  ) {
    let body = [result.command, result.detail.isEmpty ? nil : result.detail].compactMap(\.self)
    lines.append(
      "      <\(element) message=\"\(message)\">"
        + Self.escape(body.joined(separator: "\n")) + "</\(element)>")
  }

  /// Text for an attribute or an element; what XML 1.0 can't carry becomes U+FFFD.
  static func escape(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "\n": escaped += "&#10;"
      case "\t": escaped += "&#9;"
      case "\r": escaped += "&#13;"
      case "\u{0}"..."\u{1f}", "\u{fffe}", "\u{ffff}": escaped += "\u{fffd}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }
}
