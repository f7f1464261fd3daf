/// What a bench is to do, line by line: methods, memory to fill before, memory to show after.
///
///     fill 0x10000 4096 index      // bytes counting up; or a byte's value: fill 0x20000 64 0xff
///     SRC_ADDRESS_HIGH 0           // a method by name, or by its byte offset: 0x30c 0
///     EXEC 0x110
///     show 0x20000 32
///
/// Numbers are decimal or, with `0x`, hexadecimal; `//` and `#` begin comments.
public struct PCOPYScript: Hashable, Sendable {
  public enum Step: Hashable, Sendable {
    case fill(UInt64, [UInt8])
    case method(FalconMethod)
    case show(UInt64, count: Int)
  }

  public let steps: [Step]

  /// The most bytes that one line fills or shows.
  public static let longestRun: UInt64 = 1 << 20
  private static let lastAddress: UInt64 = (1 << 40) - 1

  /// Reads a script; `file` is the name for messages.
  public init(_ text: String, file: String = "<methods>") throws(FalconAssemblyError) {
    var steps: [Step] = []
    var problems: [FalconAssemblyProblem] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      do throws(FalconAssemblyProblem) {
        if let step = try Self.step(Words(line, file: file, line: index + 1)) {
          steps.append(step)
        }
      } catch {
        problems.append(error)
        if problems.count == FalconAssemblyError.capacity { break }
      }
    }
    if !problems.isEmpty { throw FalconAssemblyError(problems: problems) }
    self.steps = steps
  }

  private static func step(_ words: Words) throws(FalconAssemblyProblem) -> Step? {
    guard let verb = words.list.first else { return nil }
    switch verb.text {
    case "fill":
      try words.expect(4, "fill ADDRESS COUNT BYTE, where BYTE may be `index`")
      let address = try words.number(1, "an address", 0...lastAddress)
      let count = Int(try words.number(2, "a count of bytes", 1...longestRun))
      if words.list[3].text == "index" {
        return .fill(address, (0..<count).map { UInt8(truncatingIfNeeded: $0) })
      }
      let byte = try words.number(3, "a byte", 0...0xff)
      return .fill(address, [UInt8](repeating: UInt8(byte), count: count))
    case "show":
      try words.expect(3, "show ADDRESS COUNT")
      let address = try words.number(1, "an address", 0...lastAddress)
      return .show(address, count: Int(try words.number(2, "a count of bytes", 1...longestRun)))
    default:
      try words.expect(2, "METHOD DATA")
      let offset = try methodOffset(words)
      let data = try words.number(1, "a data word", 0...0xffff_ffff)
      return .method(FalconMethod(subchannel: 4, offset: offset, data: UInt32(data)))
    }
  }

  private static func methodOffset(_ words: Words) throws(FalconAssemblyProblem) -> UInt32 {
    let name = words.list[0].text
    if let offset = PCOPYMethodNames.offset(of: name) { return offset }
    guard name.first?.isNumber == true else {
      throw words.problem(
        0, "'\(name)' is no method of class 90B5",
        "use a name such as EXEC, a byte offset such as 0x300, `fill` or `show`")
    }
    let offset = try words.number(0, "a method's byte offset", 0...0x1ffc)
    guard offset % 4 == 0 else {
      throw words.problem(0, "\(name) is no multiple of 4", "a method's offset counts bytes")
    }
    return UInt32(offset)
  }

  /// The words of a line with their places.
  private struct Words {
    let file: String
    let line: Int
    var list: [(text: String, column: Int)] = []

    init(_ text: Substring, file: String, line: Int) {
      self.file = file
      self.line = line
      var word = ""
      var column = 0
      var rest = text
      var place = 0
      while let character = rest.first {
        if rest.hasPrefix("//") || character == "#" { break }
        place += 1
        rest = rest.dropFirst()
        if character.isWhitespace {
          if !word.isEmpty { list.append((word, column)) }
          word = ""
        } else {
          if word.isEmpty { column = place }
          word.append(character)
        }
      }
      if !word.isEmpty { list.append((word, column)) }
    }

    func problem(_ index: Int, _ message: String, _ remedy: String) -> FalconAssemblyProblem {
      let column = index < list.count ? list[index].column : 1
      return FalconAssemblyProblem(
        place: FalconSourcePlace(file: file, line: line, column: column), message: message,
        remedy: remedy)
    }

    func expect(_ count: Int, _ form: String) throws(FalconAssemblyProblem) {
      if list.count != count {
        throw problem(
          min(count, list.count - 1), "\(list.count) words where \(count) belong", "write \(form)")
      }
    }

    func number(_ index: Int, _ what: String, _ range: ClosedRange<UInt64>)
      throws(FalconAssemblyProblem) -> UInt64
    {
      let text = list[index].text
      let value =
        text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text, radix: 10)
      guard let value, range.contains(value) else {
        throw problem(
          index, "'\(text)' is not \(what)",
          "give a number from \(FalconNames.hex(range.lowerBound)) to "
            + FalconNames.hex(range.upperBound))
      }
      return value
    }
  }
}
