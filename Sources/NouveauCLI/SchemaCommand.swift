import ArgumentParser
import NouveauTestKit

/// `nouveau schema`: the keys of scenario files.
struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Prints every key of scenario files with its meaning and an example.",
    discussion: """
      The text is Markdown; the second half of docs/scenarios.md is this output.

      EXAMPLES
        nouveau schema | less
      """)

  func run() {
    Terminal.print(SchemaDocument.markdown())
  }
}
