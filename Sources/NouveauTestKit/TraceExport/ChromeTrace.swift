import Base
public import KernelRuntime

/// A trace in the JSON form that Chrome's and Perfetto's viewers load.
///
/// SOURCE: the "Trace Event Format" document of the Chromium project: complete events (`X`),
/// instants (`i`), flow events (`s`, `t`, `f`), metadata (`M`); times in microseconds.
/// A row per task, engine and fence context; rows of one group form a process of the viewer. The
/// text depends on nothing but the trace: equal runs give equal bytes.
public struct ChromeTrace {
  private let trace: Trace
  /// Flows by their key, in order of first appearance; the viewer joins events of equal number.
  private var flows: [FlowKey: Int] = [:]

  private struct FlowKey: Hashable {
    let family: String
    let a: UInt64
    let b: UInt64
  }

  public init(_ trace: Trace) { self.trace = trace }

  /// The whole document.
  public static func json(of trace: Trace) -> String {
    var export = ChromeTrace(trace)
    return export.document()
  }

  private mutating func document() -> String {
    var lines = metadata()
    lines.reserveCapacity(trace.events.count * 2 + lines.count)
    for event in trace.events { append(event, to: &lines) }
    let body = lines.map { $0.text(isCompact: true) }.joined(separator: ",\n")
    return "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n\(body)\n]}\n"
  }

  /// Names and order of processes (groups) and threads (rows).
  private func metadata() -> [JSONValue] {
    var lines: [JSONValue] = []
    func add(_ name: String, _ group: Int, _ row: Int?, _ argument: (String, JSONValue)) {
      var fields: [(String, JSONValue)] = [
        ("name", .string(name)), ("ph", .string("M")), ("pid", .integer(group)),
      ]
      if let row { fields.append(("tid", .integer(row))) }
      fields.append(("args", .object([argument])))
      lines.append(.object(fields))
    }
    for (index, group) in TraceGroup.allCases.enumerated()
    where trace.rows.contains(where: { $0.group == group }) {
      add("process_name", index + 1, nil, ("name", .string(group.rawValue)))
      add("process_sort_index", index + 1, nil, ("sort_index", .integer(index)))
    }
    for (index, row) in trace.rows.enumerated() {
      add("thread_name", Self.process(row.group), index + 1, ("name", .string(row.name)))
      add("thread_sort_index", Self.process(row.group), index + 1, ("sort_index", .integer(index)))
    }
    return lines
  }

  private static func process(_ group: TraceGroup) -> Int {
    (TraceGroup.allCases.firstIndex(of: group) ?? 0) + 1
  }

  /// The part of a kind's name before the first dot: `fence` of `fence.emit`.
  private static func family(_ kind: TraceKind) -> String {
    String(kind.name.prefix { $0 != "." })
  }

  /// The kind's name, and the error's where the event is one, so that it is seen without a click.
  private static func title(_ event: TraceEvent) -> String {
    guard let errno = event.arguments.first(where: { $0.name == "errno" })?.value, errno != 0,
      let number = Int32(exactly: errno)
    else { return event.kind.name }
    return "\(event.kind.name) \(KernelError(errno: number).name)"
  }

  private mutating func append(_ event: TraceEvent, to lines: inout [JSONValue]) {
    let place: [(String, JSONValue)] = [
      ("pid", .integer(Self.process(trace.rows[event.row.index].group))),
      ("tid", .integer(event.row.index + 1)),
      ("ts", .literal(Self.microseconds(event.time))),
    ]
    let arguments = JSONValue.object(event.arguments.map { ($0.name, Self.argument($0.value)) })
    func slice(_ duration: UInt64) -> JSONValue {
      .object(
        [
          ("name", .string(Self.title(event))), ("cat", .string(Self.family(event.kind))),
          ("ph", .string("X")),
        ] + place + [("dur", .literal(Self.microseconds(duration))), ("args", arguments)])
    }
    switch event.kind.shape {
    case .span: lines.append(slice(event.duration))
    case .point:
      lines.append(
        .object(
          [
            ("name", .string(Self.title(event))), ("cat", .string(Self.family(event.kind))),
            ("ph", .string("i")), ("s", .string("t")),
          ] + place + [("args", arguments)]))
    case .flowStart, .flowStep, .flowEnd:
      // An arrow's end hangs on a slice, so each station gets one of the shortest length.
      lines.append(slice(1))
      lines.append(arrow(event, place))
    }
  }

  private mutating func arrow(_ event: TraceEvent, _ place: [(String, JSONValue)]) -> JSONValue {
    let family = Self.family(event.kind)
    let key = FlowKey(family: family, a: event.a, b: event.b)
    let number = flows[key] ?? flows.count + 1
    flows[key] = number
    let phase: String
    switch event.kind.shape {
    case .flowStart: phase = "s"
    case .flowEnd: phase = "f"
    default: phase = "t"
    }
    var fields: [(String, JSONValue)] = [
      ("name", .string(family)), ("cat", .string(family)), ("ph", .string(phase)),
      ("id", .integer(number)),
    ]
    if phase == "f" { fields.append(("bp", .string("e"))) }
    return .object(fields + place)
  }

  /// Nanoseconds as microseconds with three digits behind the point.
  static func microseconds(_ nanoseconds: UInt64) -> String {
    let rest = String(nanoseconds % 1000)
    return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
  }

  /// Numbers that a viewer's doubles can't hold are written as text.
  private static func argument(_ value: UInt64) -> JSONValue {
    value < 1 << 53 ? .number(value) : .string("0x" + String(value, radix: 16))
  }
}
