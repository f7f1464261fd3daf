public import KernelRuntime

/// An object that an audit's line and events of a trace name: what finds the event that made an
/// offence.
public enum TraceSubject: Hashable, Sendable {
  /// A page by its number, in RAM or on the device.
  case page(UInt64)
  /// A number in hexadecimal: a page's, or an address in a process.
  case number(UInt64)
  case fence(context: UInt64, seqno: UInt64)
  case channel(UInt64)
  /// A task or an engine, by the name of its row.
  case row(String)

  /// Added to a page's address on the bus; see `DMAAddressSpace.busOffset`.
  private static let busOffset: UInt64 = 1 << 40
  private static let pageShift: UInt64 = 12

  /// The objects that a line names, in order: `page 12`, `0x7ffff7fef000`, `fence 3:17`,
  /// `channel 2`, and rows by their whole names.
  public static func named(in line: String, rows: [String] = []) -> [TraceSubject] {
    let words = line.split { " ,;()[]'".contains($0) }.map(String.init)
    var subjects: [TraceSubject] = []
    for (index, word) in words.enumerated() {
      let before = index > 0 ? words[index - 1] : ""
      if let subject = subject(word, after: before), !subjects.contains(subject) {
        subjects.append(subject)
      }
    }
    for row in rows where row.count > 2 && names(line, row) { subjects.append(.row(row)) }
    return subjects
  }

  private static func subject(_ word: String, after before: String) -> TraceSubject? {
    // What follows a number belongs to the sentence.
    let text = word.prefix { $0.isHexDigit || $0 == "x" || $0 == ":" }
    if text.hasPrefix("0x") {
      return UInt64(text.dropFirst(2).prefix { $0.isHexDigit }, radix: 16).map { .number($0) }
    }
    let digits = text.prefix { $0.isWholeNumber }
    guard let number = UInt64(digits) else { return nil }
    switch before {
    case "page", "pfn": return .page(number)
    case "channel": return .channel(number)
    case "fence":
      let rest = text.dropFirst(digits.count + 1).prefix { $0.isWholeNumber }
      return UInt64(rest).map { .fence(context: number, seqno: $0) }
    default: return nil
    }
  }

  /// Whether the line has the name with no letter or digit on either side.
  private static func names(_ line: String, _ name: String) -> Bool {
    line.ranges(of: name).contains { range in
      let before =
        range.lowerBound > line.startIndex ? line[line.index(before: range.lowerBound)] : " "
      let after = range.upperBound < line.endIndex ? line[range.upperBound] : " "
      return ![before, after].contains { $0.isLetter || $0.isNumber }
    }
  }

  /// Whether the event is about the object, as the names of its arguments say.
  public func isNamed(by event: TraceEvent, rows: [(name: String, group: TraceGroup)]) -> Bool {
    switch self {
    case .page(let page): return Self.covers(event, page: page)
    case .number(let number):
      if number >= Self.busOffset, number < 2 * Self.busOffset,
        Self.covers(event, page: (number - Self.busOffset) >> Self.pageShift)
      {
        return true
      }
      return Self.covers(event, page: number) || Self.covers(event, address: number)
    case .fence(let context, let seqno):
      return Self.value(event, ["context"]) == context && Self.value(event, ["seqno"]) == seqno
    case .channel(let channel): return Self.value(event, ["channel", "chid"]) == channel
    case .row(let name): return rows[event.row.index].name == name
    }
  }

  private static func value(_ event: TraceEvent, _ names: [String]) -> UInt64? {
    event.arguments.first { names.contains($0.name) }?.value
  }

  private static func covers(_ event: TraceEvent, page: UInt64) -> Bool {
    guard let first = value(event, ["pfn"]) else { return false }
    return page >= first && page - first < max(value(event, ["pages"]) ?? 1, 1)
  }

  private static func covers(_ event: TraceEvent, address: UInt64) -> Bool {
    guard let start = value(event, ["address", "va", "start"]) else { return false }
    let first = start >> pageShift
    let page = address >> pageShift
    if let end = value(event, ["end"]) { return page >= first && page < end >> pageShift }
    return page >= first && page - first < max(value(event, ["pages"]) ?? 1, 1)
  }
}

extension Trace {
  /// The last event about an object that the line names; nil when none is. The caller has kept the
  /// trace of the run that the line is about.
  ///
  /// - Parameter count: only so many events from the first on are looked at.
  public func origin(of line: String, within count: Int = .max) -> TraceEvent? {
    let subjects = TraceSubject.named(in: line, rows: rows.map(\.name))
    guard !subjects.isEmpty else { return nil }
    return events.prefix(count).last { event in
      subjects.contains { $0.isNamed(by: event, rows: rows) }
    }
  }
}
