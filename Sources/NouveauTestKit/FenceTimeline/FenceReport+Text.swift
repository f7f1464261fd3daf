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
      lines += graph(hang.tasks)
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
        "\(point.seqno)", point.emitted.map { column(RunReport.exactTimeText($0)) } ?? "before",
        point.signalled.map { column(RunReport.exactTimeText($0)) } ?? "-",
        after.map { column(RunReport.timeText($0)) } ?? "-",
        point.signalled == nil ? "pending" : point.error?.name ?? "ok",
        point.waiters.map { word($0, point) }.joined(separator: ", "),
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

  /// Units of one and of two letters take the same room, so that numbers stand under each other.
  private static func column(_ time: String) -> String {
    time.hasSuffix(" s") ? time + " " : time
  }

  /// What a wait came to; a time only where it isn't the signal's.
  private static func word(
    _ waiter: FenceTimeline.Waiter, _ point: FenceTimeline.Point
  ) -> String {
    if waiter.hasGivenUp {
      return "\(waiter.task) gave up at \(RunReport.exactTimeText(waiter.time))"
    }
    guard let signalled = point.signalled, waiter.time > signalled else {
      return "\(waiter.task) went on"
    }
    return "\(waiter.task) went on \(RunReport.timeText(waiter.time - signalled)) later"
  }

  /// One line a task, with whom it waits for; then each chain from the task that nobody waits for
  /// to what stands at its end.
  func graph(_ tasks: [BlockedTask]) -> [String] {
    if tasks.isEmpty { return ["  no task sleeps"] }
    var lines: [String] = []
    for task in tasks {
      let holds = task.holds.isEmpty ? "" : "; holds \(task.holds.joined(separator: ", "))"
      lines.append("  \(task.name) waits for \(text(task.reason))\(holds)")
      for id in task.waitsFor {
        guard let other = tasks.first(where: { $0.id == id }) else { continue }
        lines.append("    -> \(other.name), which waits for \(text(other.reason))")
      }
    }
    let graph = WaitGraph(tasks)
    if let circle = graph.circle {
      let names = (circle + circle.prefix(1)).map(\.name)
      lines.append("  deadlock: \(names.joined(separator: " -> "))")
    }
    for chain in graph.chains {
      guard let last = chain.last else { continue }
      let names = chain.map(\.name) + [text(last.reason)]
      lines.append("  chain: \(names.joined(separator: " -> ")), \(Self.ending(last.reason))")
    }
    return lines
  }

  /// A reason in words, with the name of a fence's context.
  private func text(_ reason: WaitReason) -> String {
    switch reason {
    case .fence(let context, _):
      guard let timeline = timelines.first(where: { $0.context == context }) else {
        return "\(reason)"
      }
      return "\(reason) (\(timeline.name))"
    case .sleep(let until): return until == .max ? "ever" : "time \(RunReport.exactTimeText(until))"
    default: return "\(reason)"
    }
  }

  private static func ending(_ reason: WaitReason) -> String {
    switch reason {
    case .lock, .pageLock: "which nobody lets go"
    case .fence: "which nobody has signalled"
    case .queue: "where nobody wakes it"
    case .join: "which doesn't come"
    case .sleep: "which comes by itself"
    }
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
