/// An input's bytes and its name, for errors that say where.
struct SourceText {
  let bytes: [UInt8]
  let file: String

  /// The line and column of the byte at `offset`.
  func place(of offset: Int) -> TextPlace {
    var line = 1
    var column = 1
    for byte in bytes.prefix(max(0, offset)) {
      if byte == 0x0a {
        line += 1
        column = 1
      } else {
        column += 1
      }
    }
    return TextPlace(file: file, line: line, column: column)
  }

  func error(at offset: Int, _ message: String, remedy: String) -> DiscoveryError {
    DiscoveryError(place: place(of: offset), message, remedy: remedy)
  }

  /// Refuses what isn't UTF-8, with the place of the first bad byte.
  func requireUTF8() throws(DiscoveryError) {
    if String(validating: bytes, as: UTF8.self) != nil { return }
    // The longest prefix that decodes ends where the first bad sequence begins.
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var good = 0
    decoding: while true {
      switch decoder.decode(&iterator) {
      case .scalarValue(let scalar): good += UTF8.width(scalar)
      case .emptyInput, .error: break decoding
      }
    }
    throw error(
      at: good, "the text is not UTF-8",
      remedy: "convert the file to UTF-8, or pass the program's own output unchanged")
  }

  /// The lines without their ends (LF or CR LF), each with its number from 1.
  var lines: [(number: Int, text: Substring)] {
    let text = String(decoding: bytes, as: UTF8.self)
    // Split at bytes: a CR LF is one Character to Swift, and a lone one is not a line's end.
    var result: [(Int, Substring)] = []
    var start = text.utf8.startIndex
    while start < text.utf8.endIndex {
      let end = text.utf8[start...].firstIndex(of: 0x0a) ?? text.utf8.endIndex
      var line = text[start..<end]
      if line.utf8.last == 0x0d { line = line[..<line.utf8.index(before: line.utf8.endIndex)] }
      result.append((result.count + 1, line))
      start = end == text.utf8.endIndex ? end : text.utf8.index(after: end)
    }
    return result
  }
}
