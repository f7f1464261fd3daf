import Base
import KernelRuntime

/// The table of keys as Markdown: the second part of `docs/scenarios.md`, and what `nouveau schema`
/// prints.
public enum SchemaDocument {
  /// Every object with its keys, then the words that are too many for a table's cell.
  public static func markdown() -> String {
    let objects = Schema.objects.map(section)
    return (["## Keys\n"] + objects + [words()]).joined(separator: "\n")
  }

  /// A fragment of a file completed with what it leaves out, so that it can be read on its own.
  ///
  /// Fragments use the process `app` with the mapping `buffer` of 64 pages.
  public static func completed(_ fragment: String) -> String {
    var text = fragment.hasSuffix("\n") ? fragment : fragment + "\n"
    func has(_ key: String) -> Bool {
      text.hasPrefix("\(key):") || text.contains("\n\(key):")
    }
    if !has("scenario") { text = "scenario: fragment\nsummary: A fragment.\n" + text }
    if !has("processes") {
      text += "processes: [{name: app, mappings: [{name: buffer, size: 64 pages}]}]\n"
    }
    if !has("steps") { text += "steps: [{touch: {mapping: buffer}}]\n" }
    return text
  }

  private static func section(_ object: SchemaObject) -> String {
    var lines = ["### \(heading(object.name))", "", object.summary, ""]
    lines += ["```yaml", object.sample, "```", ""]
    lines += ["| Key | Value | Meaning | Example |", "|---|---|---|---|"]
    lines += object.keys.map(row)
    for group in object.groups {
      let keys = group.keys.map { "`\($0)`" }.joined(separator: ", ")
      let count =
        switch group.count {
        case .exactlyOne: "Exactly one"
        case .atMostOne: "At most one"
        case .atLeastOne: "At least one"
        }
      lines += ["", "\(count) of \(keys)."]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func heading(_ name: SchemaObjectName) -> String {
    switch name {
    case .scenario: "The file"
    case .process: "An item of `processes`"
    case .mapping: "An item of `mappings`"
    case .step: "An item of `steps`"
    case .branch: "An item of `parallel`"
    case .data: "An item of `data`"
    default: "`\(name.rawValue)`"
    }
  }

  private static func row(_ key: SchemaKey) -> String {
    var meaning = key.summary
    if case .choice(let choices) = key.type, choices.count <= 6 {
      meaning += " " + choices.map { "`\($0.name)`: \($0.summary)." }.joined(separator: " ")
    }
    if key.isRequired { meaning += " Required." }
    if let fallback = key.fallback { meaning += " Default: \(fallback)." }
    let example = key.example.isEmpty ? "`\(key.name):`" : "`\(key.name): \(key.example)`"
    let cells = ["`\(key.name)`", SchemaText.form(key.type, words: "below"), meaning, example]
    return "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
  }

  private static func words() -> String {
    var lines = ["## Words", ""]
    func table(_ title: String, _ choices: [SchemaChoice]) {
      lines += ["### \(title)", "", "| Word | Meaning |", "|---|---|"]
      lines += choices.map { "| `\($0.name)` | \($0.summary) |" }
      lines.append("")
    }
    table("Moments (`reaches`)", Schema.marks)
    table("Advice (`advise`)", Schema.advices)
    table("Outcomes (`fails`, `errors`)", Schema.outcomes)
    lines += ["### Injection points (`arm`, `disarm`, `injected`)", ""]
    lines += ["| Point | Errors, the usual one first | What fails |", "|---|---|---|"]
    lines += InjectionPoint.all.map { point in
      let errors =
        point.errors.isEmpty ? "a device fault" : point.errors.map(\.name).joined(separator: ", ")
      return "| `\(point.name)` | \(errors) | \(point.summary) |"
    }
    lines.append("| `all` | | of `disarm` alone: every rule |")
    lines.append("")
    table("Counters (`counters`)", Schema.counters)
    table("Patterns (`fill`)", Schema.patterns)
    table("Contents (`read`, `data`)", Schema.contents)
    table("Places (`location`)", Schema.locations)
    table("Reasons (`why`)", Schema.reasons)
    return lines.joined(separator: "\n")
  }
}
