extension ResultSet {
  /// Why results can't be joined.
  public enum MergeError: Error, Hashable, Sendable, CustomStringConvertible {
    case nothing
    case version(Int)
    /// The same part was given twice, as `k/n`.
    case twice(String)
    /// Parts are missing, as `k/n`.
    case missing([String])
    /// Parts of different divisions.
    case mixed([String])

    public var description: String {
      switch self {
      case .nothing: "merge: no results given"
      case .version(let version):
        "merge: results of form \(version); this program reads form \(ResultSet.formatVersion)"
      case .twice(let shard): "merge: shard \(shard) is there twice"
      case .missing(let shards): "merge: missing shards \(shards.joined(separator: ", "))"
      case .mixed(let shards):
        "merge: shards of different divisions: \(shards.joined(separator: ", "))"
      }
    }
  }

  /// Joins the results of all shards; a check that several shards had a part in becomes one, as bad
  /// as the worst part, with the runs of all. What a part left open (``CheckResult/isOpen``) the
  /// others settle; what no part settled has failed.
  ///
  /// A missing or doubled shard is an error, since what isn't there would otherwise look passed.
  public static func merge(_ sets: [ResultSet]) throws(MergeError) -> ResultSet {
    guard !sets.isEmpty else { throw .nothing }
    if let stranger = sets.first(where: { $0.version != formatVersion }) {
      throw .version(stranger.version)
    }
    try checkShards(sets.flatMap(\.shards))
    var merged: [CheckResult] = []
    for result in sets.flatMap(\.results) {
      if let index = merged.firstIndex(where: {
        $0.suite == result.suite && $0.name == result.name
      }) {
        merged[index].join(result)
      } else {
        merged.append(result)
      }
    }
    // A part to which nothing of a suite fell says nothing beside those to which something did.
    let settled = merged.filter { !$0.isOpen && $0.status != .skipped }.map(\.suite)
    merged.removeAll { $0.isOpen && $0.runs == 0 && settled.contains($0.suite) }
    for index in merged.indices where merged[index].isOpen {
      merged[index].status = .failed
      merged[index].message = "no part of the work settled it"
    }
    return ResultSet(merged)
  }

  private static func checkShards(_ shards: [String]) throws(MergeError) {
    let parsed = shards.compactMap { Shard(parsing: $0) }
    guard let count = parsed.first?.count, parsed.count == shards.count,
      parsed.allSatisfy({ $0.count == count })
    else { throw .mixed(shards) }
    for (index, shard) in parsed.enumerated() where parsed[..<index].contains(shard) {
      throw .twice(shard.description)
    }
    let missing = (1...count).filter { number in !parsed.contains { $0.index == number } }
    if !missing.isEmpty { throw .missing(missing.map { "\($0)/\(count)" }) }
  }
}

extension CheckResult {
  /// How bad a status is; a part that was skipped doesn't hide one that ran.
  private var weight: Int {
    switch status {
    case .skipped: 0
    case .passed: 1
    case .invalid: 2
    case .failed: 3
    }
  }

  fileprivate mutating func join(_ other: CheckResult) {
    let total = runs + other.runs
    if other.weight > weight { self = other }
    runs = total
  }
}
