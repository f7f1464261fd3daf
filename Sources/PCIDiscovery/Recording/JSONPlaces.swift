/// Where each value of a JSON text stands, found by a strict scan of its own.
///
/// Foundation's decoder says what is wrong but not where; its coding path is looked up here.
struct JSONPlaces {
  struct Node {
    /// The byte at which the value begins.
    var offset: Int
    /// Members of an object by name, or an array's elements by their index as text.
    var children: [(name: String, node: Node)] = []
  }

  /// A text that is no JSON: what was expected at which byte.
  struct Fault: Error {
    var offset: Int
    var message: String
  }

  /// Deeper nesting is refused; a recording has 6 levels.
  static let maximumDepth = 32

  private let bytes: [UInt8]
  private var at = 0
  let root: Node

  init(_ bytes: [UInt8]) throws(Fault) {
    var scan = JSONPlaces(bytes: bytes, root: Node(offset: 0))
    let found = try scan.value(depth: 0)
    scan.skipBlanks()
    guard scan.at == bytes.count else {
      throw Fault(offset: scan.at, message: "text after the end of the JSON value")
    }
    self = JSONPlaces(bytes: bytes, root: found)
  }

  private init(bytes: [UInt8], root: Node) {
    self.bytes = bytes
    self.root = root
  }

  /// The byte at which the value at `path` begins; as deep as the path leads.
  func offset(of path: [String]) -> Int {
    var node = root
    for name in path {
      guard let child = node.children.first(where: { $0.name == name }) else { break }
      node = child.node
    }
    return node.offset
  }

  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipBlanks() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar, _ what: String) throws(Fault) {
    skipBlanks()
    guard next == UInt8(ascii: character) else {
      throw Fault(offset: at, message: "expected \(what)")
    }
    at += 1
  }

  private mutating func takes(_ character: Unicode.Scalar) -> Bool {
    skipBlanks()
    if next != UInt8(ascii: character) { return false }
    at += 1
    return true
  }

  private mutating func value(depth: Int) throws(Fault) -> Node {
    skipBlanks()
    guard depth < Self.maximumDepth else {
      throw Fault(offset: at, message: "more than \(Self.maximumDepth) levels of nesting")
    }
    let start = at
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    case UInt8(ascii: "-"), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): try number()
    case nil: throw Fault(offset: at, message: "the text ends where a value should stand")
    default: throw Fault(offset: at, message: "expected a JSON value")
    }
    return Node(offset: start)
  }

  private mutating func object(depth: Int) throws(Fault) -> Node {
    var node = Node(offset: at)
    at += 1
    if takes("}") { return node }
    repeat {
      skipBlanks()
      let start = at
      guard next == UInt8(ascii: "\"") else {
        throw Fault(offset: at, message: "expected a member's name in quotes")
      }
      let name = try string()
      guard !node.children.contains(where: { $0.name == name }) else {
        throw Fault(offset: start, message: "the member \"\(name.prefix(40))\" stands twice")
      }
      try take(":", "a colon after the member's name")
      node.children.append((name, try value(depth: depth + 1)))
    } while takes(",")
    try take("}", "a comma or a closing brace")
    return node
  }

  private mutating func array(depth: Int) throws(Fault) -> Node {
    var node = Node(offset: at)
    at += 1
    if takes("]") { return node }
    repeat {
      node.children.append((String(node.children.count), try value(depth: depth + 1)))
    } while takes(",")
    try take("]", "a comma or a closing bracket")
    return node
  }

  private mutating func word(_ text: String) throws(Fault) {
    guard bytes[at...].starts(with: text.utf8) else {
      throw Fault(offset: at, message: "expected \(text)")
    }
    at += text.utf8.count
  }

  private mutating func digits() throws(Fault) {
    let start = at
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { at += 1 }
    if at == start { throw Fault(offset: at, message: "expected a digit") }
  }

  private mutating func number() throws(Fault) {
    if next == UInt8(ascii: "-") { at += 1 }
    if next == UInt8(ascii: "0") { at += 1 } else { try digits() }
    if next == UInt8(ascii: ".") {
      at += 1
      try digits()
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      at += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
  }

  /// Scans a string; the result is its text with escapes left as they are.
  private mutating func string() throws(Fault) -> String {
    at += 1
    let start = at
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else {
        throw Fault(offset: at, message: "a control character in a string")
      }
      at += 1
      if byte == UInt8(ascii: "\\") { try escape() }
    }
    guard next != nil else { throw Fault(offset: start - 1, message: "the string has no end") }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    at += 1
    return text
  }

  private mutating func escape() throws(Fault) {
    let plain = [UInt8]("\"\\/bfnrt".utf8)
    if let byte = next, plain.contains(byte) {
      at += 1
      return
    }
    guard next == UInt8(ascii: "u") else { throw Fault(offset: at, message: "an unknown escape") }
    at += 1
    for _ in 0..<4 {
      guard let byte = next, HexText.nibble(byte) != nil else {
        throw Fault(offset: at, message: "expected four hexadecimal digits after \\u")
      }
      at += 1
    }
  }
}
