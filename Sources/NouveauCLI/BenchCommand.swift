import ArgumentParser
import Base
import NouveauTestKit

/// `nouveau bench`: figures.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures migrations, faults and machines, with raw memcpy beside.",
    discussion: """
      Prints the median and quartiles of each figure, its goal, and whether it was
      reached. Figures mean something in an optimised build only
      (swift run -c release nouveau bench). A missed goal is reported and is no
      failure of the command.

      EXAMPLES
        nouveau bench
        nouveau bench --json
        nouveau bench --brief
      """)

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  @Flag(help: "Everything small: shows that it works, not how fast.")
  var brief = false

  @Flag(help: "Take the curve of bookkeeping to 1,000,000 pages (needs 9 GiB of memory).")
  var full = false

  func run() throws {
    var plan = brief ? Bench.Plan.brief : Bench.Plan()
    if full { plan.curve.append(1_000_000) }
    let bench = Bench(plan) { Terminal.progress("measuring: \($0)") }
    let report: MeasurementReport
    do throws(KernelError) {
      report = try bench.run()
    } catch {
      Terminal.progress("")
      Terminal.complain("the measurement failed: \(error)\n")
      throw ExitCode(1)
    }
    Terminal.progress("")
    Terminal.print(json ? report.json.text() + "\n" : report.text())
  }
}
