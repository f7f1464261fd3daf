import Base
import KernelRuntime

extension FenceReport {
  /// Each context's points as a table, then who waited for whom at each hang.
  public func text() -> String {
    var lines = [
      "\(run.scenario), seed \(run.seed): \(run.passed ? "ok" : "FAIL"), "
        + RunReport.timeText(run.duration)
    ]
    for timeline in timelines {
      lines += ["", Self.title(timeline)] + Self.table(timeline)
    }
    if timelines.isEmpty { lines.append("no fence was made") }
    for hang in hangs {
      lines += ["", "\(RunReport.timeText(hang.time)): \(hang.title)"]
      lines += Self.graph(hang.tasks)
    }
    if !run.passed {
      lines.append("")
      for mismatch in run.mismatches.prefix(4) {
        lines.append("step \(mismatch.step), \(mismatch.title)")
        lines.append("  expected: \(mismatch.expected)")
        lines.append("  got:      \(mismatch.got)")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func title(_ timeline: FenceTimeline) -> String {
    "context \(timeline.context), \(timeline.name): \(timeline.points.count) points, "
      + "\(timeline.failed) failed, \(timeline.pending) pending"
  }

  private static func table(_ timeline: FenceTimeline) -> [String] {
    var rows = [["point", "emitted", "signalled", "after", "status", "waiters"]]
    for point in timeline.points {
      let after = point.emitted.flatMap { emitted in point.signalled.map { $0 - emitted } }
      rows.append([
        "\(point.seqno)", point.emitted.map { nanoseconds($0) } ?? "before",
        point.signalled.map { nanoseconds($0) } ?? "-",
        after.map { RunReport.timeText($0) } ?? "-",
        point.signalled == nil ? "pending" : point.error?.name ?? "ok",
        point.waiters.map(word).joined(separator: ", "),
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = " "
      for (column, cell) in row.enumerated() {
        let pad = String(repeating: " ", count: widths[column] - cell.count)
        line += " " + (column < 4 ? pad + cell : cell + pad) + " "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  private static func word(_ waiter: FenceTimeline.Waiter) -> String {
    "\(waiter.task) \(waiter.hasGivenUp ? "gave up" : "went on") at \(nanoseconds(waiter.time))"
  }

  /// Microseconds with three digits behind the point: the unit of the trace.
  private static func nanoseconds(_ time: UInt64) -> String {
    "\(ChromeTrace.microseconds(time)) us"
  }

  /// One line a task, with whom it waits for; then what the graph means as a whole.
  static func graph(_ tasks: [BlockedTask]) -> [String] {
    var lines: [String] = []
    for task in tasks {
      lines.append("  \(task)")
      for id in task.waitsFor {
        guard let other = tasks.first(where: { $0.id == id }) else { continue }
        lines.append("    -> \(other.name), which waits for \(other.reason)")
      }
    }
    lines += WaitGraph(tasks).offences.map { "  chain: \($0.name): \($0.detail)" }
    return lines
  }
}

extension FenceReport {
  /// The report as a JSON object.
  public var json: JSONValue {
    .object([
      ("run", run.json),
      ("contexts", .list(timelines.map(\.json))),
      (
        "hangs",
        .list(
          hangs.map { hang in
            .object([
              ("title", .string(hang.title)), ("time_ns", .number(hang.time)),
              ("tasks", .list(hang.tasks.map(\.json))),
              (
                "chains",
                .list(WaitGraph(hang.tasks).offences.map { .string("\($0.name): \($0.detail)") })
              ),
            ])
          })
      ),
    ])
  }
}

extension FenceTimeline {
  fileprivate var json: JSONValue {
    .object([
      ("context", .number(context)), ("name", .string(name)),
      ("points", .list(points.map(\.json))),
    ])
  }
}

extension FenceTimeline.Point {
  fileprivate var json: JSONValue {
    .object([
      ("seqno", .number(seqno)),
      ("emitted_ns", emitted.map { .number($0) } ?? .null),
      ("signalled_ns", signalled.map { .number($0) } ?? .null),
      ("error", error.map { .string($0.name) } ?? .null),
      ("deadline_ns", deadline.map { .number($0) } ?? .null),
      (
        "waiters",
        .list(
          waiters.map { waiter in
            .object([
              ("task", .string(waiter.task)), ("time_ns", .number(waiter.time)),
              ("gave_up", .flag(waiter.hasGivenUp)),
            ])
          })
      ),
    ])
  }
}

extension BlockedTask {
  fileprivate var json: JSONValue {
    .object([
      ("id", .integer(id)), ("task", .string(name)), ("waits_for", .string("\(reason)")),
      ("holds", .list(holds.map { .string($0) })),
      ("behind", .list(waitsFor.map { .integer($0) })),
    ])
  }
}
