import ArgumentParser
import Foundation
import Fuzzing
import NouveauTestKit

/// One target's campaign, with its report.
struct FuzzCampaign {
  let target: any FuzzTarget
  let seed: UInt64
  let range: FuzzRange
  /// Folder for the inputs of findings.
  let keep: String

  struct Finding {
    let number: UInt64
    let what: String
    /// Where the input was saved; nil when it could not be.
    let file: String?
  }

  struct Report {
    let target: String
    let seed: UInt64
    let range: FuzzRange
    let tally: FuzzTally
    let findings: [Finding]
    let seconds: Double
  }

  // MARK: running

  func runHere() -> Report {
    let clock = ContinuousClock()
    let begin = clock.now
    let (tally, finding) = FuzzWork(target, seed: seed, range: range).run()
    let findings = finding.map { [keepInput($0.index, $0.complaint)] } ?? []
    return report(tally, findings, clock.now - begin)
  }

  func runInChildren() throws -> Report {
    let clock = ContinuousClock()
    let begin = clock.now
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "nouveau-fuzz-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let journal = folder.appending(path: "journal").path
    let supervisor = FuzzSupervisor(size: range.size) { indices, block in
      try child(indices, block, journal)
    }
    let (tally, found) = try supervisor.run()
    Terminal.progress("")
    let findings = found.map { keepInput($0.index, "\($0.kind)") }
    return report(tally, findings, clock.now - begin)
  }

  private func child(
    _ indices: Range<UInt64>, _ block: UInt64, _ journal: String
  ) throws -> FuzzSupervisor.Ending {
    let process = Process()
    process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments =
      [
        "fuzz", target.name, "--seed", "\(seed)", "--first", "\(range.first)", "--inputs",
        "\(range.count)", "--shard", "\(range.part)/\(range.parts)",
      ] + [
        "--journal", journal, "--from", "\(indices.lowerBound)", "--to", "\(indices.upperBound)",
        "--block", "\(block)",
      ]
    // A trap's backtrace takes seconds to make; who wants it repeats the input with --here.
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["SWIFT_BACKTRACE": "enable=no"], uniquingKeysWith: { _, ours in ours })
    do {
      try process.run()
    } catch {
      throw FirmwareFiles.bad("error: the command can't run itself; use --here")
    }
    process.waitUntilExit()
    let signal = process.terminationReason == .uncaughtSignal ? process.terminationStatus : nil
    let text = (try? String(contentsOfFile: journal, encoding: .utf8)) ?? ""
    guard let told = FuzzJournal(parsing: text) else {
      return FuzzSupervisor.Ending(
        FuzzJournal(.at(indices.lowerBound), FuzzTally()), signal: signal)
    }
    return FuzzSupervisor.Ending(told, signal: signal)
  }

  // MARK: reporting

  private func report(
    _ tally: FuzzTally, _ findings: [Finding], _ duration: Duration
  ) -> Report {
    let (seconds, attoseconds) = duration.components
    return Report(
      target: target.name, seed: seed, range: range, tally: tally, findings: findings,
      seconds: Double(seconds) + Double(attoseconds) * 1e-18)
  }

  private func keepInput(_ index: UInt64, _ what: String) -> Finding {
    let number = range.number(index)
    let path = "\(keep)/fuzz-\(target.name)-\(seed)-\(number).bin"
    let data = Data(target.input(number, seed: seed))
    let isKept = (try? data.write(to: URL(filePath: path))) != nil
    return Finding(number: number, what: what, file: isKept ? path : nil)
  }

  static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}

extension FuzzCampaign.Report {
  private var rate: UInt64 { seconds > 0 ? UInt64(Double(tally.total) / seconds) : 0 }

  /// A line for the campaign, one for each ending, three for each finding.
  var text: String {
    let shard = range.parts > 1 ? ", part \(range.part)/\(range.parts)" : ""
    var lines = [
      "\(target): \(tally.total) inputs from \(range.first) on\(shard), seed \(seed), "
        + "\(Measurement.text(seconds)) s, \(rate) inputs/s, "
        + (findings.isEmpty ? "nothing found" : "\(findings.count) found")
    ]
    for ending in tally.sorted {
      let share = 100 * Double(ending.count) / Double(max(1, tally.total))
      lines.append(
        "    \(FuzzCampaign.padded(ending.name, 32))\(ending.count)  (\(Measurement.text(share)) %)"
      )
    }
    for finding in findings {
      lines.append("  FOUND  input \(finding.number): \(finding.what)")
      if let file = finding.file { lines.append("    input:  \(file)") }
      lines.append("    repeat: \(command(finding))")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func command(_ finding: FuzzCampaign.Finding) -> String {
    "nouveau fuzz \(target) --seed \(seed) --first \(finding.number) --inputs 1 --here"
  }

  var json: JSONValue {
    .object([
      ("target", .string(target)), ("seed", .literal("\(seed)")),
      ("first", .literal("\(range.first)")), ("inputs", .literal("\(tally.total)")),
      ("shard", .string("\(range.part)/\(range.parts)")),
      ("seconds", .literal(Measurement.text(seconds))),
      ("endings", .object(tally.sorted.map { ($0.name, .literal("\($0.count)")) })),
      (
        "findings",
        .list(
          findings.map { finding in
            .object([
              ("input", .literal("\(finding.number)")), ("what", .string(finding.what)),
              ("file", finding.file.map { .string($0) } ?? .null),
              ("repeat", .string(command(finding))),
            ])
          })
      ),
    ])
  }
}
