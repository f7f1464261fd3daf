/// Gives every statement its address and bytes.
///
/// An instruction starts with its shortest form and grows when a value does not fit. It never
/// shrinks again, so that the search ends.
struct AssemblerLayout {
  private let parser: AssemblerParser
  private let origin: UInt32
  private var lengths: [Int]
  private var labels: [String: (value: Int64, index: Int)] = [:]
  private var problems: [FalconAssemblyProblem] = []
  private var section = FalconProgram.Section.code
  private var code: [UInt8] = []
  private var data: [UInt8] = []

  /// The largest section: addresses have 16 bits.
  private static let largestSection = 0x10000
  private static let deepestConstant = 32

  init(_ parser: AssemblerParser, origin: UInt32 = 0) {
    self.parser = parser
    self.origin = origin
    lengths = Array(repeating: 0, count: parser.statements.count)
  }

  mutating func program() throws(FalconAssemblyError) -> FalconProgram {
    checkLabels()
    var settled = false
    while !settled, problems.isEmpty { settled = pass() }
    if problems.isEmpty { _ = pass() }
    if !problems.isEmpty { throw FalconAssemblyError(problems: problems) }
    return FalconProgram(code: code, data: data, symbols: symbols())
  }

  private func symbols() -> [FalconProgram.Symbol] {
    var here = FalconProgram.Section.code
    var list: [FalconProgram.Symbol] = []
    for statement in parser.statements {
      switch statement.kind {
      case .section(let next): here = next
      case .label(let name):
        let value = UInt32(truncatingIfNeeded: labels[name]?.value ?? 0)
        list.append(FalconProgram.Symbol(name: name, section: here, value: value))
      default: break
      }
    }
    return list
  }

  private mutating func fail(
    _ statement: AssemblerStatement, _ column: Int?, _ message: String, _ remedy: String
  ) {
    guard problems.count < FalconAssemblyError.capacity else { return }
    let place = FalconSourcePlace(
      file: parser.file, line: statement.line, column: column ?? statement.column)
    problems.append(FalconAssemblyProblem(place: place, message: message, remedy: remedy))
  }

  private mutating func checkLabels() {
    for (index, statement) in parser.statements.enumerated() {
      guard case .label(let name) = statement.kind else { continue }
      if labels[name] != nil || parser.constants[name] != nil {
        fail(statement, nil, "'\(name)' is defined twice", "choose another name")
      }
      labels[name] = (0, index)
    }
  }

  /// Places everything once; true when no address and no length changed.
  private mutating func pass() -> Bool {
    var settled = true
    section = .code
    code = []
    data = []
    for (index, statement) in parser.statements.enumerated() {
      switch statement.kind {
      case .section(let next): section = next
      case .label(let name):
        let here = Int64(address)
        if labels[name]?.value != here {
          labels[name] = (here, index)
          settled = false
        }
      case .data(let bytes, let values): placeData(statement, bytes, values)
      case .align(let expression): placeZeros(statement, expression, isAlignment: true)
      case .skip(let expression): placeZeros(statement, expression, isAlignment: false)
      case .instruction(let mnemonic, let size, let arguments, let unused):
        let bytes = encode(
          statement, mnemonic, size, arguments, unused: unused, atLeast: lengths[index])
        if bytes.count != lengths[index] {
          lengths[index] = bytes.count
          settled = false
        }
        append(statement, bytes)
      }
      if !problems.isEmpty { break }
    }
    return settled
  }

  private var address: UInt32 {
    section == .code ? origin &+ UInt32(code.count) : UInt32(data.count)
  }

  private mutating func append(_ statement: AssemblerStatement, _ bytes: [UInt8]) {
    let used = section == .code ? code.count : data.count
    guard used + bytes.count <= Self.largestSection else {
      fail(
        statement, nil, "the \(section.rawValue) section is larger than 64 KiB",
        "a falcon addresses 64 KiB; shorten it")
      return
    }
    if section == .code { code += bytes } else { data += bytes }
  }

  private mutating func placeData(
    _ statement: AssemblerStatement, _ bytes: Int, _ values: [AssemblerExpression]
  ) {
    let limit = Int64(1) << Int64(bytes * 8)
    for expression in values {
      guard let value = evaluate(expression, statement) else { return }
      guard value < limit, value >= -limit / 2 else {
        fail(
          statement, nil, "\(value) does not fit \(bytes * 8) bits", "use a wider directive")
        return
      }
      append(statement, (0..<bytes).map { UInt8(truncatingIfNeeded: value >> Int64($0 * 8)) })
    }
  }

  private mutating func placeZeros(
    _ statement: AssemblerStatement, _ expression: AssemblerExpression, isAlignment: Bool
  ) {
    guard let value = evaluate(expression, statement) else { return }
    guard (isAlignment ? 1 : 0)...Int64(Self.largestSection) ~= value else {
      fail(statement, nil, "\(value) is no size for this", "use 1 to 65536")
      return
    }
    let used = section == .code ? code.count : data.count
    let count = isAlignment ? (Int(value) - used % Int(value)) % Int(value) : Int(value)
    append(statement, Array(repeating: 0, count: count))
  }

  private mutating func evaluate(
    _ expression: AssemblerExpression, _ statement: AssemblerStatement
  ) -> Int64? {
    do {
      return try expression.value { (name, column) throws(AssemblerExpressionProblem) in
        try symbol(name, column, depth: 0)
      }
    } catch {
      fail(statement, error.column, error.message, error.remedy)
      return nil
    }
  }

  private func symbol(
    _ name: String, _ column: Int, depth: Int
  ) throws(AssemblerExpressionProblem) -> Int64 {
    if let label = labels[name] { return label.value }
    guard let constant = parser.constants[name] else {
      throw AssemblerExpressionProblem(
        column: column, message: "'\(name)' is not defined",
        remedy: "define it as a label or with .equ")
    }
    guard depth < Self.deepestConstant else {
      throw AssemblerExpressionProblem(
        column: column, message: "'\(name)' is defined by itself or by too many others",
        remedy: "give it a value of its own")
    }
    return try constant.expression.value { (inner, _) throws(AssemblerExpressionProblem) in
      try symbol(inner, column, depth: depth + 1)
    }
  }
}

extension AssemblerLayout {
  /// The bytes of one instruction, no fewer than `atLeast` where a form of that length fits.
  private mutating func encode(
    _ statement: AssemblerStatement, _ mnemonic: String, _ size: FalconSize?,
    _ arguments: [AssemblerArgument], unused: AssemblerExpression?, atLeast: Int
  ) -> [UInt8] {
    if mnemonic == "li" { return loadImmediate(statement, size, arguments, atLeast) }
    let rows = FalconEncoding.rows(named: mnemonic).filter { $0.isSized == (size != nil) }
    let frozen = self
    var encoder = AssemblerEncoder(
      lookup: { (name, column) throws(AssemblerExpressionProblem) in
        try frozen.symbol(name, column, depth: 0)
      }, address: address)
    var best: AssemblerEncoder.Mismatch = .kind
    for isLenient in [false, true] {
      encoder.isLenient = isLenient
      for row in rows where row.length >= atLeast && row.operands.count == arguments.count {
        do {
          var word = row.match | UInt32(size?.rawValue ?? 0) << 6
          for (argument, operand) in zip(arguments, row.operands) {
            word |= try encoder.bits(argument, as: operand, scale: Int64(size?.bytes ?? 4))
          }
          return finish(statement, row, word, unused)
        } catch {
          if case .value = error { best = error }
        }
      }
    }
    explain(statement, best, mnemonic, size, rows)
    return []
  }

  private mutating func finish(
    _ statement: AssemblerStatement, _ row: FalconEncoding, _ word: UInt32,
    _ unused: AssemblerExpression?
  ) -> [UInt8] {
    var word = word
    if let unused {
      guard let value = evaluate(unused, statement) else { return [] }
      let free = ~row.used & FalconInstruction.mask(row.length)
      guard value >= 0, value & ~Int64(free) == 0 else {
        fail(
          statement, nil, "\(value) sets bits that this form uses",
          "its unused bits are \(FalconNames.hex(free))")
        return []
      }
      word |= UInt32(value)
    }
    return (0..<row.length).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
  }

  private mutating func explain(
    _ statement: AssemblerStatement, _ mismatch: AssemblerEncoder.Mismatch, _ mnemonic: String,
    _ size: FalconSize?, _ rows: [FalconEncoding]
  ) {
    if case .value(let column, let message, let remedy) = mismatch {
      fail(statement, column, message, remedy)
      return
    }
    if FalconEncoding.rows(named: mnemonic).isEmpty {
      fail(statement, nil, "'\(mnemonic)' is no instruction", "check the spelling")
    } else if rows.isEmpty {
      let remedy = size == nil ? "write b8, b16 or b32 after it" : "leave the size out"
      fail(
        statement, nil, "'\(mnemonic)' has no form \(size == nil ? "without" : "with") a size",
        remedy)
    } else {
      var forms: [String] = []
      for row in rows where !forms.contains(row.form) { forms.append(row.form) }
      fail(
        statement, nil, "'\(mnemonic)' does not take these operands",
        "its forms are: " + forms.prefix(8).joined(separator: "; ")
          + (size == nil ? "; a sized form needs b8, b16 or b32" : ""))
    }
  }

  /// `li`: the shortest of mov, and mov with sethi, that makes a 32-bit value.
  private mutating func loadImmediate(
    _ statement: AssemblerStatement, _ size: FalconSize?, _ arguments: [AssemblerArgument],
    _ atLeast: Int
  ) -> [UInt8] {
    guard size == nil, arguments.count == 2, case .name(let name) = arguments[0].operand,
      let register = FalconNames.register(named: name)
    else {
      fail(statement, nil, "'li' takes a register and a value", "write li r1 value")
      return []
    }
    let expression: AssemblerExpression
    switch arguments[1].operand {
    case .expression(let written): expression = written
    case .name(let symbol): expression = .symbol(symbol, column: arguments[1].column)
    default:
      fail(statement, arguments[1].column, "'li' takes a number here", "write li r1 value")
      return []
    }
    guard let value = evaluate(expression, statement) else { return [] }
    guard value >= -0x8000_0000, value <= 0xffff_ffff else {
      fail(statement, arguments[1].column, "\(value) does not fit 32 bits", "use a smaller value")
      return []
    }
    let word = UInt32(truncatingIfNeeded: value)
    let number = Int32(bitPattern: word)
    let low = [UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8)]
    let high = [UInt8(truncatingIfNeeded: word >> 16), UInt8(truncatingIfNeeded: word >> 24)]
    if Int8(exactly: number) != nil, atLeast <= 3 { return [0xf0, register << 4 | 7, low[0]] }
    if Int16(exactly: number) != nil, atLeast <= 4 { return [0xf1, register << 4 | 7] + low }
    return [0xf1, register << 4 | 7] + low + [0xf1, register << 4 | 3] + high
  }
}

extension FalconEncoding {
  private static let rowsByName: [String: [FalconEncoding]] =
    Dictionary(grouping: table, by: \.mnemonic).mapValues { $0.sorted { $0.length < $1.length } }

  /// The rows with this mnemonic, the shortest first.
  static func rows(named mnemonic: String) -> [FalconEncoding] { rowsByName[mnemonic] ?? [] }

  /// The operands in words, for messages.
  var form: String {
    let words = operands.map { operand in
      switch operand {
      case .register: "register"
      case .special: "special register"
      case .stackPointer: "sp"
      case .flags: "flags"
      case .immediate: "number"
      case .flag: "flag"
      case .bitField: "low..high"
      case .relativeTarget, .absoluteTarget: "label"
      case .condition: "condition"
      case .data(_, .none): "D[register]"
      case .data(_, .immediate): "D[register + offset]"
      case .data(_, .register): "D[register + register*size]"
      case .io(_, .none): "I[register]"
      case .io(_, .immediate): "I[register + offset]"
      case .io(_, .register): "I[register + register*4]"
      }
    }
    return words.isEmpty ? mnemonic : mnemonic + " " + words.joined(separator: ", ")
  }
}
