/// A word, number or sign of an assembly line.
struct AssemblerToken: Hashable {
  enum Kind: Hashable {
    case name(String)
    case number(Int64)
    case sign(String)
    case end
  }

  let kind: Kind
  let column: Int

  func isSign(_ text: String) -> Bool { kind == .sign(text) }
}

/// Cuts a line into tokens. A comment starts at `//` and ends with the line.
struct AssemblerLexer {
  private let bytes: [UInt8]
  private var position = 0

  init(line: Substring) { bytes = Array(line.utf8) }

  static func tokens(
    line: Substring, file: String, number: Int
  ) throws(FalconAssemblyProblem) -> [AssemblerToken] {
    var lexer = AssemblerLexer(line: line)
    var tokens: [AssemblerToken] = []
    while true {
      let token = try lexer.next(file: file, line: number)
      tokens.append(token)
      if token.kind == .end { return tokens }
    }
  }

  private func byte(_ ahead: Int = 0) -> UInt8 {
    position + ahead < bytes.count ? bytes[position + ahead] : 0
  }

  private mutating func next(
    file: String, line: Int
  ) throws(FalconAssemblyProblem) -> AssemblerToken {
    while position < bytes.count, byte() == UInt8(ascii: " ") || byte() == 9 || byte() == 13 {
      position += 1
    }
    let start = position
    let column = start + 1
    let isComment = byte() == UInt8(ascii: "/") && byte(1) == UInt8(ascii: "/")
    guard position < bytes.count, !isComment else {
      return AssemblerToken(kind: .end, column: column)
    }
    if Self.startsName(byte()), !(byte() == UInt8(ascii: ".") && byte(1) == byte()) {
      position += 1
      while Self.continuesName(byte()) { position += 1 }
      return AssemblerToken(kind: .name(text(from: start)), column: column)
    }
    if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte()) {
      while Self.continuesName(byte()) { position += 1 }
      let digits = text(from: start)
      guard let value = Self.number(digits) else {
        throw FalconAssemblyProblem(
          place: FalconSourcePlace(file: file, line: line, column: column),
          message: "'\(digits)' is no number",
          remedy: "write decimal, 0x… or 0b… digits, below 2^63")
      }
      return AssemblerToken(kind: .number(value), column: column)
    }
    for sign in ["..", "<<", ">>"] where sign.utf8.elementsEqual([byte(), byte(1)]) {
      position += 2
      return AssemblerToken(kind: .sign(sign), column: column)
    }
    guard "+-*/%&|^~()[]:,!".utf8.contains(byte()) else {
      throw FalconAssemblyProblem(
        place: FalconSourcePlace(file: file, line: line, column: column),
        message: "a character that has no meaning here (byte \(FalconNames.hex(UInt32(byte()))))",
        remedy: "remove it, or start a comment with //")
    }
    position += 1
    return AssemblerToken(kind: .sign(text(from: start)), column: column)
  }

  private func text(from start: Int) -> String {
    String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private static func startsName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "_"): true
    // A directive: a dot that is not the first of `..`.
    case UInt8(ascii: "."): true
    default: false
    }
  }

  private static func continuesName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "."): false
    default: startsName(byte)
    }
  }

  private static func number(_ text: String) -> Int64? {
    if text.hasPrefix("0x") { return Int64(text.dropFirst(2), radix: 16) }
    if text.hasPrefix("0b") { return Int64(text.dropFirst(2), radix: 2) }
    return Int64(text)
  }
}
