/// The figures of one `nouveau bench`, as a table or as JSON.
public struct MeasurementReport: Sendable {
  public var measurements: [Measurement] = []
  /// What the figures were taken on and with: build, mode, sizes.
  public var circumstances: [(name: String, value: String)] = []

  public init() {}

  /// A table: figure, median, quartiles, goal, whether it was reached; notes below.
  public func text() -> String {
    var rows = [["figure", "median", "unit", "quartiles", "goal", ""]]
    for measurement in measurements {
      let quartiles = measurement.quartiles
      rows.append([
        measurement.name, Measurement.text(measurement.median), measurement.unit,
        "\(Measurement.text(quartiles.low)) .. \(Measurement.text(quartiles.high))",
        "\(measurement.goal)",
        measurement.goal == .none ? "" : measurement.reachesGoal ? "reached" : "MISSED",
      ])
    }
    let columns = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = circumstances.map { "\($0.name): \($0.value)" }
    lines += rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let pad = String(repeating: " ", count: columns[column] - cell.count)
        line += (column == 1 ? pad + cell : cell + pad) + "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
    lines += measurements.filter { !$0.note.isEmpty }.map { "\($0.name): \($0.note)" }
    return lines.joined(separator: "\n") + "\n"
  }

  public var json: JSONValue {
    .object([
      ("circumstances", .object(circumstances.map { ($0.name, .string($0.value)) })),
      (
        "figures",
        .list(
          measurements.map { measurement in
            .object([
              ("name", .string(measurement.name)),
              ("unit", .string(measurement.unit)),
              ("median", .literal(Measurement.text(measurement.median))),
              ("low_quartile", .literal(Measurement.text(measurement.quartiles.low))),
              ("high_quartile", .literal(Measurement.text(measurement.quartiles.high))),
              ("samples", .list(measurement.samples.map { .literal(Measurement.text($0)) })),
              ("goal", measurement.goal == .none ? .null : .string("\(measurement.goal)")),
              ("reached", measurement.goal == .none ? .null : .flag(measurement.reachesGoal)),
              ("note", .string(measurement.note)),
            ])
          })
      ),
    ])
  }
}
