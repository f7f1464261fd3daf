/// What a number is expected to be: `3`, `">= 3"`, `"1..5"`.
public enum Comparison: Hashable, Sendable, CustomStringConvertible {
  case equal(UInt64)
  case unequal(UInt64)
  case atLeast(UInt64)
  case atMost(UInt64)
  case above(UInt64)
  case below(UInt64)
  case within(ClosedRange<UInt64>)

  public func holds(for value: UInt64) -> Bool {
    switch self {
    case .equal(let n): value == n
    case .unequal(let n): value != n
    case .atLeast(let n): value >= n
    case .atMost(let n): value <= n
    case .above(let n): value > n
    case .below(let n): value < n
    case .within(let range): range.contains(value)
    }
  }

  public var description: String {
    switch self {
    case .equal(let n): "\(n)"
    case .unequal(let n): "!= \(n)"
    case .atLeast(let n): ">= \(n)"
    case .atMost(let n): "<= \(n)"
    case .above(let n): "> \(n)"
    case .below(let n): "< \(n)"
    case .within(let range): "\(range.lowerBound)..\(range.upperBound)"
    }
  }
}
