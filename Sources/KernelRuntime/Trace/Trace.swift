/// The record of what happened in one machine, in order. Off unless asked for.
public final class Trace {
  /// Whether events are kept; fixed, since rows are made or left out as it says.
  public let isOn: Bool
  /// The events, oldest first.
  public private(set) var events: [TraceEvent] = []
  /// Row names and groups by ``TraceRow/index``.
  public private(set) var rows: [(name: String, group: TraceGroup)] = [("kernel", .kernel)]
  /// Told of each event as it happens; for narration.
  public var observer: ((TraceEvent) -> Void)?

  var clock: () -> UInt64 = { 0 }
  var currentRow: () -> TraceRow = { .kernel }

  public init(isOn: Bool = false) { self.isOn = isOn }

  /// A new row.
  public func row(_ name: String, in group: TraceGroup) -> TraceRow {
    guard isOn else { return .kernel }
    rows.append((name, group))
    return TraceRow(index: rows.count - 1)
  }

  /// Records a moment on the row of what runs now, or on `row`.
  @inlinable
  @inline(__always)
  public func record(
    _ kind: @autoclosure () -> TraceKind, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0,
    _ d: UInt64 = 0, on row: TraceRow? = nil
  ) {
    if _slowPath(isOn) { add(kind(), row, nil, a, b, c, d) }
  }

  /// Records a span that began at `start` and ends now.
  @inlinable
  @inline(__always)
  public func span(
    _ kind: @autoclosure () -> TraceKind, since start: UInt64, _ a: UInt64 = 0, _ b: UInt64 = 0,
    _ c: UInt64 = 0, _ d: UInt64 = 0, on row: TraceRow? = nil
  ) {
    if _slowPath(isOn) { add(kind(), row, start, a, b, c, d) }
  }

  @usableFromInline
  func add(
    _ kind: TraceKind, _ row: TraceRow?, _ start: UInt64?, _ a: UInt64, _ b: UInt64, _ c: UInt64,
    _ d: UInt64
  ) {
    let now = clock()
    let event = TraceEvent(
      time: start ?? now, duration: start.map { now - $0 } ?? 0, row: row ?? currentRow(),
      kind: kind, a: a, b: b, c: c, d: d)
    events.append(event)
    observer?(event)
  }

  /// The events as text, one line each in fixed columns: time in ns, row, kind, arguments.
  public func text() -> String {
    var lines: [String] = []
    lines.reserveCapacity(events.count)
    for event in events { lines.append(line(event)) }
    return lines.joined(separator: "\n") + (lines.isEmpty ? "" : "\n")
  }

  /// One event as a line of ``text()``.
  public func line(_ event: TraceEvent) -> String {
    func column(_ text: String, _ width: Int) -> String {
      text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }
    let time = String(event.time)
    let pad = String(repeating: " ", count: max(0, 12 - time.count))
    var line =
      "\(pad)\(time)  \(column(rows[event.row.index].name, 22))  \(column(event.kind.name, 22))"
    for (name, value) in event.arguments {
      let shown = value > 9999 ? "0x" + String(value, radix: 16) : String(value)
      line += " \(name)=\(shown)"
    }
    if event.kind.shape == .span { line += " for=\(event.duration)ns" }
    return line
  }
}
