import ArgumentParser
import Base
import Foundation
import NouveauTestKit

/// `nouveau generations`: what a unified walk would save.
struct GenerationsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generations",
    abstract: "Measures page-table walks, faults and time of three ways to the device.",
    discussion: """
      The RFC of August 2025 ("unified fault and migrate device page paths") counts
      three sequences that bring a range to a device with the right to write:
      hmm_range_fault and then migrate_vma_*; migrate_vma_* first, and both again if
      pages were missing; or one walk that faults and collects. Each is measured on
      ranges that are present, absent, zero, shared after a fork, and mixed, with a
      device that moves no bytes. Counts are the model's; times are the host's and
      mean something in an optimised build only. docs/api-generations.md explains.

      EXAMPLES
        nouveau generations
        nouveau generations --json
        nouveau generations --svg docs/api-generations.svg --markdown
      """)

  @Option(help: "Pages of a range.")
  var pages = 2048

  @Option(help: "Timed runs of each row.")
  var samples = 15

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  @Flag(help: "Print the table as Markdown.")
  var markdown = false

  @Option(help: "Write the plot to this file.", completion: .file(extensions: ["svg"]))
  var svg: String?

  func validate() throws {
    guard (1...65_536).contains(pages) else {
      throw ValidationError("--pages is 1 to 65536.")
    }
    guard (1...1000).contains(samples) else {
      throw ValidationError("--samples is 1 to 1000.")
    }
  }

  func run() throws {
    var bench = WalkBench(pages: pages, samples: samples)
    bench.progress = { Terminal.progress("measuring: \($0)") }
    let report: WalkReport
    do throws(KernelError) {
      report = try bench.run()
    } catch {
      Terminal.progress("")
      Terminal.complain("the measurement failed: \(error)\n")
      throw ExitCode(1)
    }
    Terminal.progress("")
    if let svg {
      do {
        try Data(report.svg().utf8).write(to: URL(fileURLWithPath: svg))
      } catch {
        Terminal.complain("\(svg): error: the plot can't be written; name a writable file\n")
        throw ExitCode(2)
      }
    }
    Terminal.print(
      json ? report.json.text() + "\n" : markdown ? report.markdown() : report.text())
  }
}
