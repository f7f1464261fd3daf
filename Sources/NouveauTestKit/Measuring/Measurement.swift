/// One measured figure of `nouveau bench`.
public struct Measurement: Hashable, Sendable {
  /// What a goal asks of the figure.
  public enum Goal: Hashable, Sendable, CustomStringConvertible {
    case atLeast(Double)
    case atMost(Double)
    /// Nothing: the figure stands beside another for comparison.
    case none

    public func isReached(by value: Double) -> Bool {
      switch self {
      case .atLeast(let bound): value >= bound
      case .atMost(let bound): value <= bound
      case .none: true
      }
    }

    public var description: String {
      switch self {
      case .atLeast(let bound): ">= \(Measurement.text(bound))"
      case .atMost(let bound): "<= \(Measurement.text(bound))"
      case .none: ""
      }
    }
  }

  public let name: String
  public let unit: String
  public let goal: Goal
  /// In order of measuring.
  public let samples: [Double]
  /// What limits a figure that misses its goal, or how it was taken.
  public let note: String

  public init(
    _ name: String, unit: String, goal: Goal = .none, samples: [Double], note: String = ""
  ) {
    self.name = name
    self.unit = unit
    self.goal = goal
    self.samples = samples
    self.note = note
  }

  /// The middle sample; of an even number of samples the mean of the middle two. 0 without samples.
  public var median: Double { Self.quantile(samples.sorted(), 0.5) }
  /// Half of the samples lie between these.
  public var quartiles: (low: Double, high: Double) {
    let sorted = samples.sorted()
    return (Self.quantile(sorted, 0.25), Self.quantile(sorted, 0.75))
  }
  public var reachesGoal: Bool { goal.isReached(by: median) }

  private static func quantile(_ sorted: [Double], _ part: Double) -> Double {
    guard let last = sorted.indices.last else { return 0 }
    let place = part * Double(last)
    let low = Int(place)
    let high = min(low + 1, last)
    return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
  }

  /// A number with about four significant digits, without an exponent.
  public static func text(_ value: Double) -> String {
    let digits = abs(value) >= 1000 ? 0 : abs(value) >= 100 ? 1 : abs(value) >= 10 ? 2 : 3
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value * scale).rounded()
    guard scaled.isFinite, abs(scaled) < 1e15 else { return "\(value)" }
    let whole = Int64(scaled)
    let step = Int64(scale)
    let sign = whole < 0 ? "-" : ""
    let magnitude = abs(whole)
    guard digits > 0 else { return "\(sign)\(magnitude)" }
    let rest = String(magnitude % step)
    let zeros = String(repeating: "0", count: digits - rest.count)
    return "\(sign)\(magnitude / step).\(zeros)\(rest)"
  }
}
