public import Base
import KernelRuntime
import LinuxMM

/// Measures what the RFC's author was asked for and had not measured: walks, faults and time of the
/// three sequences, for each content of a range.
public struct WalkBench {
  /// Pages of the range.
  public var pages: Int
  /// Timed runs of each row, after one that warms memory up.
  public var samples: Int
  /// Told what is being measured.
  public var progress: (String) -> Void = { _ in }

  public init(pages: Int = 2048, samples: Int = 15) {
    self.pages = pages
    self.samples = samples
  }

  /// `EIO` when a sequence leaves a page behind; `ENOMEM` when the host has no room.
  public func run() throws(KernelError) -> WalkReport {
    guard pages > 0, samples > 0 else { throw .EINVAL }
    var rows: [WalkReport.Row] = []
    for content in RangeContent.allCases {
      for sequence in WalkSequence.allCases {
        progress("\(content.rawValue), \(sequence.rawValue)")
        rows.append(try measure(sequence, content))
      }
    }
    return WalkReport(pages: pages, rows: rows)
  }

  private func measure(
    _ sequence: WalkSequence, _ content: RangeContent
  ) throws(KernelError) -> WalkReport.Row {
    let rig = try WalkRig(pages: pages)
    var counts: WalkRig.Counts?
    var times: [Double] = []
    var failure: KernelError?
    do throws(RunFailure) {
      try rig.kernel.run("walks") {
        do throws(KernelError) {
          for sample in 0...samples {
            let found = try await rig.run(sequence, content)
            if sample > 0 { times.append(found.nanoseconds / Double(pages)) }
            counts = found
          }
        } catch {
          failure = error
        }
      }
    } catch {
      throw .ETIMEDOUT
    }
    if let failure { throw failure }
    guard let counts else { throw .EIO }
    return WalkReport.Row(
      content: content, sequence: sequence, passes: counts.passes,
      restarts: counts.restarts, entries: counts.entries, faults: counts.faults,
      flushes: counts.flushes,
      time: Measurement(
        "\(content.rawValue), \(sequence.rawValue)", unit: "ns/page", samples: times))
  }
}

/// The table of ``WalkBench``.
public struct WalkReport: Sendable {
  public struct Row: Hashable, Sendable {
    public let content: RangeContent
    public let sequence: WalkSequence
    /// Passes over the range's page tables.
    public let passes: UInt64
    /// Times that a pass was taken up again after faults.
    public let restarts: UInt64
    /// Entries looked at.
    public let entries: UInt64
    /// Pages faulted in.
    public let faults: UInt64
    /// Flushes of CPU translations.
    public let flushes: UInt64
    /// The host's processor time, in nanoseconds a page.
    public let time: Measurement
  }

  public let pages: Int
  public let rows: [Row]

  /// As text for a terminal.
  public func text() -> String {
    let head = ["range", "sequence", "walks", "restarts", "entries/page", "faults", "flushes"]
    var table = [head + ["ns/page", "quartiles"]]
    for row in rows {
      let (low, high) = row.time.quartiles
      table.append(
        cells(row) + [
          Measurement.text(row.time.median),
          "\(Measurement.text(low)) .. \(Measurement.text(high))",
        ])
    }
    let widths = table[0].indices.map { column in table.reduce(0) { max($0, $1[column].count) } }
    let lines = table.map { row in
      row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return column < 2 ? cell + space : space + cell
      }.joined(separator: "  ")
    }
    return "ranges of \(pages) pages, to a device that moves no bytes\n"
      + lines.joined(separator: "\n") + "\n"
  }

  /// The rows of the table in `docs/api-generations.md`.
  public func markdown() -> String {
    var lines = [
      "| range | sequence | walks | restarts | entries a page | faults | flushes | ns a page |",
      "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows {
      let cells = cells(row) + [Measurement.text(row.time.median)]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func cells(_ row: Row) -> [String] {
    [
      row.content.rawValue, row.sequence.rawValue, "\(row.passes)", "\(row.restarts)",
      Measurement.text(Double(row.entries) / Double(pages)), "\(row.faults)", "\(row.flushes)",
    ]
  }

  public var json: JSONValue {
    .object([
      ("pages", .integer(pages)),
      (
        "rows",
        .list(
          rows.map { row in
            .object([
              ("range", .string(row.content.rawValue)),
              ("sequence", .string(row.sequence.rawValue)),
              ("walks", .number(row.passes)),
              ("restarts", .number(row.restarts)),
              ("entries", .number(row.entries)),
              ("faults", .number(row.faults)),
              ("flushes", .number(row.flushes)),
              ("ns_per_page", .literal(Measurement.text(row.time.median))),
              (
                "samples_ns_per_page",
                .list(row.time.samples.map { .literal(Measurement.text($0)) })
              ),
            ])
          })
      ),
    ])
  }
}
