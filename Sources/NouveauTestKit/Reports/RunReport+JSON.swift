extension RunReport {
  /// The report as a JSON object.
  public var json: JSONValue {
    var fields: [(String, JSONValue)] = [
      ("scenario", .string(scenario)),
      ("file", .string(file)),
      ("covers", .list(covers.map { .string($0) })),
      ("result", .string(passed ? "passed" : "failed")),
      ("seed", .number(seed)),
      ("mode", .string(isRealTime ? "real-time" : "simulated")),
      ("steps", .integer(stepCount)),
      ("duration_ns", .number(duration)),
      ("mismatches", .list(mismatches.map(\.json))),
      ("injected", .object(injected.map { ($0.point, .number($0.strikes)) })),
      ("counters", .object(counters.map { ($0.name, .number($0.value)) })),
      ("replay", .string(replay)),
    ]
    if let migrations { fields.append(("migrations", .list(migrations.map(\.json)))) }
    return .object(fields)
  }
}

extension Mismatch {
  /// The mismatch as a JSON object.
  public var json: JSONValue {
    var fields: [(String, JSONValue)] = [
      ("step", .string(step)),
      ("title", .string(title)),
      ("file", .string(mark.file)),
      ("line", .integer(mark.line)),
      ("column", .integer(mark.column)),
      ("expected", .string(expected)),
      ("got", .string(got)),
    ]
    if let origin { fields.append(("made_by", .string(origin))) }
    return .object(fields)
  }
}

extension ScenarioDiagnostic {
  /// The diagnostic as a JSON object.
  public var json: JSONValue {
    .object([
      ("file", .string(mark.file)),
      ("line", .integer(mark.line)),
      ("column", .integer(mark.column)),
      ("problem", .string(problem)),
      ("remedy", .string(remedy)),
    ])
  }
}
