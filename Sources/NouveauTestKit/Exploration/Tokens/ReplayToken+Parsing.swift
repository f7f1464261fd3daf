import Base
public import KernelRuntime

/// Why a token can't be read, and where.
public struct TokenError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The part of the token, in its own words.
  public let part: String
  public let problem: String

  public var description: String { "replay token: \(part): \(problem)" }
}

extension ReplayToken {
  /// Reads a token.
  ///
  /// - Parameter points: injection points of a flow of one's own, beyond the runtime's table.
  public init(
    parsing text: String, points own: [InjectionPoint] = []
  ) throws(TokenError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, first == Self.version else {
      throw TokenError(
        part: "version",
        problem:
          "'\(parts.first ?? "")' where '\(Self.version)' is expected; "
          + "copy the whole word that the failing run printed")
    }
    guard parts.count == 7 else {
      throw TokenError(
        part: "form", problem: "\(parts.count) parts between slashes instead of 7; was it cut off?")
    }
    let body = text.prefix(text.count - parts[6].count - 1)
    // As text: a number would be read as well without its leading zeros.
    guard parts[6] == Self.hex(UInt64(Self.checksum(body)), width: 8) else {
      throw TokenError(
        part: "checksum",
        problem: "'\(parts[6])' doesn't belong to the text before it; copy the token as a whole")
    }
    guard let seed = UInt64(parts[2], radix: 16) else {
      throw TokenError(part: "seed", problem: "'\(parts[2])' is no hexadecimal number")
    }
    let end = parts[5].split(separator: ".", omittingEmptySubsequences: false)
    guard end.count == 2, let count = Int(end[0]), count >= 0, let hash = UInt32(end[1], radix: 16)
    else {
      throw TokenError(part: "end", problem: "'\(parts[5])' isn't COUNT.HASH")
    }
    flow = try Self.unescape(parts[1], "flow")
    schedule = Schedule(
      seed: seed, entries: try Self.entries(parts[3]), decisionCount: count, hash: hash)
    injections = try Self.injections(parts[4], InjectionPoint.all + own)
  }

  private static func entries(_ text: Substring) throws(TokenError) -> [Schedule.Entry] {
    if text == "-" { return [] }
    var entries: [Schedule.Entry] = []
    var next = 0
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let entry = entry(item, next) else {
        throw TokenError(
          part: "choices",
          problem: "'\(item)', the \(entries.count + 1). decision, isn't GAP KIND VALUE . CHECK")
      }
      entries.append(entry)
      next = entry.index + 1
    }
    return entries
  }

  private static func entry(_ text: Substring, _ next: Int) -> Schedule.Entry? {
    guard let kindAt = text.firstIndex(where: { !$0.isWholeNumber }),
      let gap = Int(text[..<kindAt]), gap >= 0, gap < 1 << 40,
      let dot = text.lastIndex(of: "."), dot > kindAt,
      let check = UInt8(text[text.index(after: dot)...], radix: 16)
    else { return nil }
    let value = text[text.index(after: kindAt)..<dot]
    let decision: Decision
    switch text[kindAt] {
    case "t" where value.isEmpty: decision = .time
    case "r":
      guard let id = Int(value), (0..<1 << 30).contains(id) else { return nil }
      decision = .runnable(id)
    case "d":
      guard let drawn = Int(value), (0..<1 << 30).contains(drawn) else { return nil }
      decision = .draw(drawn)
    default: return nil
    }
    return Schedule.Entry(index: next + gap, decision: decision, check: check)
  }

  private static func injections(
    _ text: Substring, _ points: [InjectionPoint]
  ) throws(TokenError) -> [Injection] {
    if text == "-" { return [] }
    var injections: [Injection] = []
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      injections.append(try injection(item, points))
    }
    return injections
  }

  private static func injection(
    _ text: Substring, _ points: [InjectionPoint]
  ) throws(TokenError) -> Injection {
    guard let at = text.lastIndex(of: "@") else {
      throw TokenError(part: "failures", problem: "'\(text)' has no @NUMBER")
    }
    let name = try unescape(text[..<at], "failures")
    guard let point = points.first(where: { $0.name == name }) else {
      throw TokenError(part: "failures", problem: "no injection point '\(name)'")
    }
    let rest = text[text.index(after: at)...].split(
      separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    var number = rest[0]
    let persists = number.last == "+"
    if persists { number.removeLast() }
    guard let nth = UInt64(number), nth > 0 else {
      throw TokenError(part: "failures", problem: "'\(text)': the passage counts from 1")
    }
    guard rest.count == 2 else { return Injection(point, nth: nth, persists: persists) }
    let word = String(rest[1])
    guard let error = KernelError(name: word) ?? Int32(word).map({ KernelError(errno: $0) }) else {
      throw TokenError(part: "failures", problem: "'\(word)' is no errno's name")
    }
    return Injection(point, nth: nth, persists: persists, error: error)
  }

  private static func unescape(_ text: Substring, _ part: String) throws(TokenError) -> String {
    if text == "%" { return "" }
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = String(decoding: rest.prefix(2), as: UTF8.self)
      guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else {
        throw TokenError(part: part, problem: "'%\(digits)' isn't % and two hexadecimal digits")
      }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
