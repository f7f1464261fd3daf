/// How the inputs of a campaign ended, by name.
package struct FuzzTally: Hashable, Sendable {
  package private(set) var endings: [(name: String, count: UInt64)] = []
  package var total: UInt64 { endings.reduce(0) { $0 + $1.count } }

  package init() {}

  package mutating func add(_ name: String, _ count: UInt64 = 1) {
    for index in endings.indices where endings[index].name == name {
      endings[index].count += count
      return
    }
    endings.append((name, count))
  }

  package mutating func add(_ other: FuzzTally) {
    for ending in other.endings { add(ending.name, ending.count) }
  }

  /// The commonest first.
  package var sorted: [(name: String, count: UInt64)] {
    endings.sorted { $0.count == $1.count ? $0.name < $1.name : $0.count > $1.count }
  }

  package static func == (a: FuzzTally, b: FuzzTally) -> Bool {
    a.sorted.elementsEqual(b.sorted) { $0 == $1 }
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(total) }
}
