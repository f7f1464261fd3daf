/// A number that may depend on labels and constants.
indirect enum AssemblerExpression: Hashable {
  case number(Int64)
  case symbol(String, column: Int)
  case unary(String, AssemblerExpression)
  case binary(String, AssemblerExpression, AssemblerExpression, column: Int)
}

/// Why an expression has no value.
struct AssemblerExpressionProblem: Error {
  let column: Int
  let message: String
  let remedy: String
}

extension AssemblerExpression {
  /// The value, with `lookup` for symbols. Deep chains of constants end with an error.
  func value(
    _ lookup: (String, Int) throws(AssemblerExpressionProblem) -> Int64
  ) throws(AssemblerExpressionProblem) -> Int64 {
    switch self {
    case .number(let value): return value
    case .symbol(let name, let column): return try lookup(name, column)
    case .unary(let sign, let operand):
      let value = try operand.value(lookup)
      return sign == "~" ? ~value : 0 &- value
    case .binary(let sign, let left, let right, let column):
      let x = try left.value(lookup)
      let y = try right.value(lookup)
      return try Self.apply(sign, x, y, column)
    }
  }

  private static func apply(
    _ sign: String, _ x: Int64, _ y: Int64, _ column: Int
  ) throws(AssemblerExpressionProblem) -> Int64 {
    let result: (partialValue: Int64, overflow: Bool)
    switch sign {
    case "+": result = x.addingReportingOverflow(y)
    case "-": result = x.subtractingReportingOverflow(y)
    case "*": result = x.multipliedReportingOverflow(by: y)
    case "/": result = x.dividedReportingOverflow(by: y)
    case "%": result = x.remainderReportingOverflow(dividingBy: y)
    case "&": return x & y
    case "|": return x | y
    case "^": return x ^ y
    default:
      guard (0..<64).contains(y) else {
        throw AssemblerExpressionProblem(
          column: column, message: "a shift by \(y)", remedy: "shift by 0 to 63")
      }
      return sign == "<<" ? x << y : x >> y
    }
    guard !result.overflow else {
      throw AssemblerExpressionProblem(
        column: column, message: "'\(sign)' has no result that fits 64 bits",
        remedy: "check the operands; a divisor can't be 0")
    }
    return result.partialValue
  }
}

/// Reads tokens of one line one after the other.
struct AssemblerCursor {
  private let tokens: [AssemblerToken]
  private var position = 0
  private static let deepest = 40
  private var depth = 0

  init(_ tokens: [AssemblerToken]) { self.tokens = tokens }

  /// The token under the cursor; the last one is always `.end`.
  var current: AssemblerToken { tokens[min(position, tokens.count - 1)] }
  var following: AssemblerToken { tokens[min(position + 1, tokens.count - 1)] }
  var isAtEnd: Bool { current.kind == .end }

  mutating func advance() { position += 1 }

  mutating func take(_ sign: String) -> Bool {
    guard current.isSign(sign) else { return false }
    advance()
    return true
  }

  /// Binary signs by how tightly they bind, loosest first.
  private static let levels: [[String]] = [
    ["|"], ["^"], ["&"], ["<<", ">>"], ["+", "-"], ["*", "/", "%"],
  ]

  static func isBinary(_ token: AssemblerToken) -> Bool {
    guard case .sign(let sign) = token.kind else { return false }
    return levels.contains { $0.contains(sign) }
  }

  mutating func expression(
    level: Int = 0
  ) throws(AssemblerExpressionProblem) -> AssemblerExpression {
    guard level < Self.levels.count else { return try primary() }
    var left = try expression(level: level + 1)
    while case .sign(let sign) = current.kind, Self.levels[level].contains(sign) {
      let column = current.column
      advance()
      left = .binary(sign, left, try expression(level: level + 1), column: column)
    }
    return left
  }

  private mutating func primary() throws(AssemblerExpressionProblem) -> AssemblerExpression {
    depth += 1
    defer { depth -= 1 }
    let token = current
    guard depth < Self.deepest else {
      throw AssemblerExpressionProblem(
        column: token.column, message: "an expression nested too deeply",
        remedy: "split it with .equ")
    }
    advance()
    switch token.kind {
    case .number(let value): return .number(value)
    case .name(let name): return .symbol(name, column: token.column)
    case .sign("-"): return .unary("-", try primary())
    case .sign("~"): return .unary("~", try primary())
    case .sign("("):
      let inner = try expression()
      guard take(")") else {
        throw AssemblerExpressionProblem(
          column: current.column, message: "a parenthesis is not closed", remedy: "add ')'")
      }
      return inner
    default:
      throw AssemblerExpressionProblem(
        column: token.column, message: "a number or name is missing here",
        remedy: "write a number, a label or a constant")
    }
  }
}
