public import KernelRuntime

/// The order in which locks were taken, over many runs: a circle among classes is a deadlock that
/// some order of events reaches, even when each single run took them one way only.
///
/// ``KernelRuntime/LockChecks`` finds circles within one run; this adds the edges of all runs up.
public struct LockOrder: Sendable {
  public struct Edge: Hashable, Sendable {
    public let from: String
    public let to: String
    /// Who was first seen to take `to` while holding `from`.
    public let witness: String
  }

  public private(set) var edges: [Edge] = []

  public init() {}

  /// Adds what a run has shown.
  public mutating func add(_ checks: LockChecks) {
    for edge in checks.observedOrder {
      add(from: edge.from, to: edge.to, witness: edge.witness)
    }
  }

  mutating func add(from: String, to: String, witness: String) {
    if edges.contains(where: { $0.from == from && $0.to == to }) { return }
    edges.append(Edge(from: from, to: to, witness: witness))
  }

  /// Each circle once, as its edges in order, beginning with the edge that was seen first.
  public var circles: [[Edge]] {
    var circles: [[Edge]] = []
    for edge in edges {
      guard let back = path(from: edge.to, to: edge.from) else { continue }
      let circle = [edge] + back
      let isKnown = circles.contains { known in
        known.count == circle.count && circle.allSatisfy { known.contains($0) }
      }
      if !isKnown { circles.append(circle) }
    }
    return circles
  }

  /// The shortest way along edges.
  private func path(from start: String, to goal: String) -> [Edge]? {
    var ways: [[Edge]] = edges.filter { $0.from == start }.map { [$0] }
    var seen = [start]
    var next = 0
    while next < ways.count {
      let way = ways[next]
      next += 1
      guard let end = way.last?.to else { continue }
      if end == goal { return way }
      if seen.contains(end) { continue }
      seen.append(end)
      for edge in edges where edge.from == end { ways.append(way + [edge]) }
    }
    return nil
  }

  /// As offences, one a circle.
  public var offences: [Offence] {
    circles.map { circle in
      Offence(
        name: "lock.order-circle",
        detail: circle.map { "\($0.from) -> \($0.to) (\($0.witness))" }.joined(separator: ", "))
    }
  }
}
