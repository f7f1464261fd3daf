import Base
public import KernelRuntime

/// A run as one printed word: the flow, its seed, its choices and its failures.
///
///     n1/FLOW/SEED/CHOICES/FAILURES/END/SUM
///
/// - `n1`: the version of this form. Scheduling points stand before operations; a change of that,
///   or of what counts as a decision, is a new version.
/// - FLOW: the name, with every character but letters, digits, `_` and `-` as `%XX`.
/// - SEED: of draws, hexadecimal.
/// - CHOICES: `-`, or a list of decisions that weren't the usual one, each `GAP KIND VALUE .
///   CHECK`: usual decisions since the last in the list, then `r` with a runnable's id, `t` for
///   time, or `d` with a draw's value, then two hexadecimal digits over what was seen so far
///   (`12r3.a7,0t.08`).
/// - FAILURES: `-`, or a list such as `mm.page_alloc@3=ENOMEM`, with `+` behind the number when
///   later passages fail as well.
/// - END: the number of decisions and eight hexadecimal digits over all of them (`41.09af33c1`).
/// - SUM: eight hexadecimal digits over the text before, against slips of the hand.
///
/// The word needs no quotes in a shell.
public struct ReplayToken: Hashable, Sendable {
  public let flow: String
  public let schedule: Schedule
  public let injections: [Injection]

  public init(flow: String, schedule: Schedule, injections: [Injection] = []) {
    self.flow = flow
    self.schedule = schedule
    self.injections = injections
  }

  static let version = "n1"

  static func hex(_ value: UInt64, width: Int = 1) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  /// CRC-32 as in IEEE 802.3, bit by bit; a token is short.
  static func checksum(_ text: some StringProtocol) -> UInt32 {
    var crc: UInt32 = .max
    for byte in text.utf8 {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }
    return ~crc
  }

  static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }
}

extension ReplayToken: CustomStringConvertible {
  public var description: String {
    let body = [
      Self.version, Self.escape(flow), Self.hex(schedule.seed), choicesText,
      injections.isEmpty ? "-" : injections.map(Self.text).joined(separator: ","),
      "\(schedule.decisionCount).\(Self.hex(UInt64(schedule.hash), width: 8))",
    ].joined(separator: "/")
    return body + "/" + Self.hex(UInt64(Self.checksum(body)), width: 8)
  }

  private var choicesText: String {
    var next = 0
    var items: [String] = []
    for entry in schedule.entries {
      let kind =
        switch entry.decision.kind {
        case .usual: "u"
        case .time: "t"
        case .runnable(let id): "r\(id)"
        case .draw(let value): "d\(value)"
        }
      items.append("\(entry.index - next)\(kind).\(Self.hex(UInt64(entry.check), width: 2))")
      next = entry.index + 1
    }
    return items.isEmpty ? "-" : items.joined(separator: ",")
  }

  private static func text(_ injection: Injection) -> String {
    let point = escape(injection.point.name, alsoPlain: UInt8(ascii: "."))
    let place = "\(point)@\(injection.nth)" + (injection.persists ? "+" : "")
    guard let error = injection.error else { return place }
    // An error without a name goes by its number.
    return place + "=" + (KernelError(name: error.name)?.name ?? String(error.errno))
  }

  static func escape(_ text: String, alsoPlain: UInt8? = nil) -> String {
    if text.isEmpty { return "%" }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if isPlain(byte) || byte == alsoPlain {
        bytes.append(byte)
      } else {
        bytes.append(UInt8(ascii: "%"))
        bytes.append(contentsOf: hex(UInt64(byte), width: 2).utf8)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
