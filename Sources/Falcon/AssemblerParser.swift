/// Turns source text into statements.
struct AssemblerParser {
  let file: String
  private(set) var statements: [AssemblerStatement] = []
  /// Constants by name, in the order of their definition.
  private(set) var constants: [String: (expression: AssemblerExpression, line: Int)] = [:]
  private(set) var problems: [FalconAssemblyProblem] = []
  private var line = 0
  private var cursor = AssemblerCursor([AssemblerToken(kind: .end, column: 1)])

  init(source: String, file: String) {
    self.file = file
    for text in source.split(separator: "\n", omittingEmptySubsequences: false) {
      line += 1
      guard problems.count < FalconAssemblyError.capacity else { return }
      do {
        cursor = AssemblerCursor(
          try AssemblerLexer.tokens(line: text, file: file, number: line))
        try parseLine()
      } catch {
        problems.append(error)
      }
    }
  }

  private func problem(
    _ column: Int, _ message: String, _ remedy: String
  ) -> FalconAssemblyProblem {
    FalconAssemblyProblem(
      place: FalconSourcePlace(file: file, line: line, column: column), message: message,
      remedy: remedy)
  }

  private mutating func add(_ kind: AssemblerStatement.Kind, _ column: Int) {
    statements.append(AssemblerStatement(kind: kind, line: line, column: column))
  }

  private mutating func expression() throws(FalconAssemblyProblem) -> AssemblerExpression {
    do {
      return try cursor.expression()
    } catch {
      throw problem(error.column, error.message, error.remedy)
    }
  }

  private mutating func parseLine() throws(FalconAssemblyProblem) {
    while case .name(let name) = cursor.current.kind, cursor.following.isSign(":") {
      try checkFree(name)
      add(.label(name), cursor.current.column)
      cursor.advance()
      cursor.advance()
    }
    let start = cursor.current
    guard !cursor.isAtEnd else { return }
    guard case .name(let word) = start.kind else {
      throw problem(
        start.column, "a line starts with a label, a directive or an instruction",
        "remove what stands here")
    }
    cursor.advance()
    if word.hasPrefix(".") {
      try parseDirective(word, start.column)
    } else {
      try parseInstruction(word, start.column)
    }
    guard cursor.isAtEnd else {
      throw problem(
        cursor.current.column, "more than '\(word)' takes", "start a new line or remove it")
    }
  }

  /// Refuses names that mean something else where a symbol could stand.
  private func checkFree(_ name: String) throws(FalconAssemblyProblem) {
    if FalconNames.isReserved(name) || name.hasPrefix(".") {
      throw problem(
        cursor.current.column, "'\(name)' can't be a name of your own",
        "choose a name that is no register, flag or keyword")
    }
  }

  private mutating func parseDirective(
    _ word: String, _ column: Int
  ) throws(FalconAssemblyProblem) {
    switch word {
    case ".section":
      guard case .name(let name) = cursor.current.kind,
        let section = FalconProgram.Section(rawValue: name)
      else {
        throw problem(cursor.current.column, "no such section", "write .section code or data")
      }
      cursor.advance()
      add(.section(section), column)
    case ".equ":
      guard case .name(let name) = cursor.current.kind else {
        throw problem(cursor.current.column, ".equ needs a name", "write .equ name value")
      }
      try checkFree(name)
      if let first = constants[name] {
        throw problem(
          cursor.current.column, "'\(name)' has a value from line \(first.line)",
          "choose another name")
      }
      cursor.advance()
      constants[name] = (try expression(), line)
    case ".b8", ".b16", ".b32":
      var values = [try expression()]
      while !cursor.isAtEnd {
        _ = cursor.take(",")
        values.append(try expression())
      }
      add(.data(bytes: word == ".b8" ? 1 : word == ".b16" ? 2 : 4, values), column)
    case ".align": add(.align(try expression()), column)
    case ".skip": add(.skip(try expression()), column)
    default:
      throw problem(
        column, "'\(word)' is no directive",
        "use .section, .equ, .b8, .b16, .b32, .align or .skip")
    }
  }

  private mutating func parseInstruction(
    _ word: String, _ column: Int
  ) throws(FalconAssemblyProblem) {
    var size: FalconSize?
    if case .name(let name) = cursor.current.kind,
      let named = FalconSize.allCases.first(where: { $0.name == name })
    {
      size = named
      cursor.advance()
    }
    var arguments: [AssemblerArgument] = []
    var unused: AssemblerExpression?
    while !cursor.isAtEnd {
      if !arguments.isEmpty { _ = cursor.take(",") }
      if cursor.current.kind == .name("unused") {
        cursor.advance()
        unused = try expression()
        break
      }
      arguments.append(try parseArgument())
    }
    add(.instruction(mnemonic: word, size: size, arguments, unused: unused), column)
  }

  private mutating func parseArgument() throws(FalconAssemblyProblem) -> AssemblerArgument {
    let start = cursor.current
    var isLong = false
    if start.kind == .name("long") {
      isLong = true
      cursor.advance()
    }
    return AssemblerArgument(operand: try parseOperand(), isLong: isLong, column: start.column)
  }

  private mutating func parseOperand() throws(FalconAssemblyProblem) -> AssemblerOperand {
    let start = cursor.current
    if cursor.take("!") {
      guard case .name(let name) = cursor.current.kind else {
        throw problem(cursor.current.column, "'!' needs a flag", "write !p0 to !p7")
      }
      cursor.advance()
      return .inverted(name)
    }
    if case .name(let name) = start.kind {
      if cursor.following.isSign("["), name == "D" || name == "I" {
        cursor.advance()
        cursor.advance()
        return try parseMemory(space: name)
      }
      let continues =
        AssemblerCursor.isBinary(cursor.following) || cursor.following.isSign("..")
      if FalconNames.isReserved(name) || !continues {
        cursor.advance()
        return .name(name)
      }
    }
    let low = try expression()
    guard cursor.take("..") else { return .expression(low) }
    return .bits(low, try expression())
  }

  private mutating func parseMemory(
    space: String
  ) throws(FalconAssemblyProblem) -> AssemblerOperand {
    guard case .name(let base) = cursor.current.kind else {
      throw problem(
        cursor.current.column, "an address starts with a register",
        "write \(space)[r1] or \(space)[r1 + offset]")
    }
    cursor.advance()
    var index = AssemblerOperand.Index.none
    if cursor.take("+") {
      if case .name(let name) = cursor.current.kind,
        let register = FalconNames.register(named: name)
      {
        cursor.advance()
        guard cursor.take("*"), case .number(let scale) = cursor.current.kind else {
          throw problem(
            cursor.current.column, "an index register needs the access size",
            "write \(name)*1, \(name)*2 or \(name)*4")
        }
        cursor.advance()
        index = .register(register, scale: scale)
      } else {
        index = .expression(try expression())
      }
    }
    guard cursor.take("]") else {
      throw problem(cursor.current.column, "the address is not closed", "add ']'")
    }
    return .memory(space: space, base: base, index)
  }
}
