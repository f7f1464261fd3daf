/// The states of a protocol and the edges between them, as its document has them.
public struct ProtocolMap: Sendable, Hashable {
  public struct Edge: Sendable, Hashable {
    public let from: Int
    public let to: Int
  }

  public let name: String
  public let states: [String]
  public let edges: [Edge]

  /// - Parameter edges: pairs of states by name; a name that isn't a state is left out and shows as
  ///   an unknown edge when it is taken.
  public init(_ name: String, states: [String], edges: [(from: String, to: String)]) {
    self.name = name
    self.states = states
    self.edges = edges.compactMap { edge in
      guard let from = states.firstIndex(of: edge.from), let to = states.firstIndex(of: edge.to)
      else { return nil }
      return Edge(from: from, to: to)
    }
  }

  /// The index of a state.
  public func state(_ name: String) -> Int? { states.firstIndex(of: name) }

  func text(_ edge: Edge) -> String { "\(states[edge.from]) -> \(states[edge.to])" }
}

/// How often runs were in each state and took each edge of the flow's protocols.
public struct Coverage: Sendable, Hashable {
  public let maps: [ProtocolMap]
  /// By map, then by state.
  public private(set) var states: [[UInt64]]
  /// By map, then by edge.
  public private(set) var edges: [[UInt64]]
  /// Where each object is; not part of the counts.
  private var places: [Place: Int] = [:]

  private struct Place: Hashable {
    let map: Int
    let object: UInt64
  }

  public init(_ maps: [ProtocolMap]) {
    self.maps = maps
    states = maps.map { [UInt64](repeating: 0, count: $0.states.count) }
    edges = maps.map { [UInt64](repeating: 0, count: $0.edges.count) }
  }

  /// Counts a move; the text of the edge when the map doesn't have it.
  mutating func enter(_ state: Int, of map: Int, object: UInt64) -> String? {
    guard maps.indices.contains(map), states[map].indices.contains(state) else {
      return "state \(state) of protocol \(map), which has no such state"
    }
    states[map][state] += 1
    guard let from = places.updateValue(state, forKey: Place(map: map, object: object)),
      from != state
    else { return nil }
    let edge = ProtocolMap.Edge(from: from, to: state)
    guard let index = maps[map].edges.firstIndex(of: edge) else {
      return "\(maps[map].name): \(maps[map].text(edge)) of object \(object)"
    }
    edges[map][index] += 1
    return nil
  }

  /// Adds another run's counts; `other` must be of the same protocols.
  public mutating func add(_ other: Coverage) {
    guard other.maps == maps else { return }
    for map in maps.indices {
      for index in states[map].indices { states[map][index] += other.states[map][index] }
      for index in edges[map].indices { edges[map][index] += other.edges[map][index] }
    }
  }

  /// States in which no run ever was, as `protocol: state`.
  public var unreachedStates: [String] {
    maps.indices.flatMap { map in
      states[map].indices.filter { states[map][$0] == 0 }
        .map { "\(maps[map].name): \(maps[map].states[$0])" }
    }
  }

  /// Edges that no run ever took, as `protocol: from -> to`.
  public var unreachedEdges: [String] {
    maps.indices.flatMap { map in
      edges[map].indices.filter { edges[map][$0] == 0 }
        .map { "\(maps[map].name): \(maps[map].text(maps[map].edges[$0]))" }
    }
  }

  /// A table of all counts, one line each, what was never reached marked.
  public var text: String {
    var lines: [String] = []
    for map in maps.indices {
      lines.append(maps[map].name)
      func add(_ label: String, _ count: UInt64) {
        lines.append("  \(label)  \(count == 0 ? "never" : String(count))")
      }
      for index in states[map].indices { add(maps[map].states[index], states[map][index]) }
      for index in edges[map].indices {
        add(maps[map].text(maps[map].edges[index]), edges[map][index])
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
