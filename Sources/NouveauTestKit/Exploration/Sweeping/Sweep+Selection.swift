import Base
import KernelRuntime

// Which passages fail.
extension Sweep {
  /// Every single failure that is asked for, in the order of the points; what is left out is
  /// counted in the report.
  func singles(
    _ baseline: Outcome, _ log: PassageLog?, _ report: inout SweepReport
  ) -> [Injection] {
    let asked = baseline.passages.filter { points?.contains($0.point.name) ?? true }
    let count = asked.reduce(0) { $0 + Int($1.count) * kinds(of: $1.point) }
    let sampled = count > sampleAbove ? log.map { $0.sample(sample ?? 1) } : nil
    var singles: [Injection] = []
    for passage in asked {
      let errors =
        passage.point.errors.isEmpty ? [nil] : passage.point.errors.map(Optional.some)
      let kinds = kinds(of: passage.point)
      let all = Array(1...max(passage.count, 1))
      let chosen = sampled?.first { $0.point == passage.point }?.passages ?? all
      let numbers = limited(chosen)
      report.leftOut.alike += (all.count - chosen.count) * kinds
      report.leftOut.beyondLimit += (chosen.count - numbers.count) * kinds
      for nth in numbers {
        for error in errors {
          for persistence in persistence {
            singles.append(
              Injection(
                passage.point, nth: nth, persists: persistence == .fromThenOn, error: error))
          }
        }
      }
    }
    return singles
  }

  /// In how many ways a passage of a point fails.
  private func kinds(of point: InjectionPoint) -> Int {
    max(point.errors.count, 1) * persistence.count
  }

  /// The failures that can follow a first one: passages that the run with the first still makes.
  func seconds(after single: Injection, _ outcome: Outcome) -> [Injection] {
    var seconds: [Injection] = []
    for passage in outcome.passages {
      if let points, !points.contains(passage.point.name) { continue }
      let before = outcome.passagesAtFirstStrike.first { $0.point == passage.point }?.count ?? 0
      guard passage.count > before else { continue }
      for nth in limited(Array(before + 1...passage.count)) {
        seconds.append(Injection(passage.point, nth: nth))
      }
    }
    return seconds
  }

  private func limited(_ passages: [UInt64]) -> [UInt64] {
    guard passageLimit > 0, passages.count > passageLimit else { return passages }
    return Self.spread(passages.count, Int(passageLimit)).map { passages[$0] }
  }

  /// `limit` of the places 0..<`count`, spread evenly from the first to the last; all of them when
  /// there are not more.
  static func spread(_ count: Int, _ limit: Int) -> [Int] {
    guard count > limit, limit > 0 else { return Array(0..<count) }
    let steps = max(limit - 1, 1)
    return (0..<limit).map { $0 * (count - 1) / steps }
  }
}
