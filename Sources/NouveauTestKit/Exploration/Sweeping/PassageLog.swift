import KernelRuntime

/// The passages of injection points in one run, in order, and which of them are alike.
///
/// Two passages are alike when they are of the same point, made by the same task (or interrupt, or
/// engine) in the same step of the flow, with the same two points passed before and after by that
/// task. Who carries out no steps of its own, such as an engine, counts to the step that began
/// last. So the first and the last pages of a batch are told from those between, and a batch that
/// needs a new page table from one that doesn't; the hundred pages between are alike.
final class PassageLog {
  /// Points before and after that count.
  private static let reach = 2

  private var points: [InjectionPoint] = []
  private var pointNumbers: [InjectionPoint: Int] = [:]
  private var placeNumbers: [String: Int] = [:]
  /// The passages of each place in order: the number of the point and of the passage.
  private var places: [[(point: Int, nth: UInt64)]] = []
  private var counts: [UInt64] = []
  /// The step that each runnable is in.
  private var steps: [Int: String] = [:]
  private var lastStep = ""

  func beginStep(_ number: String, _ runnable: Runnable?) {
    lastStep = number
    if let runnable { steps[runnable.id] = number }
  }

  func note(_ point: InjectionPoint, _ runnable: Runnable?) {
    let number = pointNumbers[point] ?? add(point)
    counts[number] += 1
    let step = runnable.flatMap { steps[$0.id] } ?? lastStep
    let name = "\(step)/\(runnable?.name ?? "")"
    let place: Int
    if let known = placeNumbers[name] {
      place = known
    } else {
      place = places.count
      placeNumbers[name] = place
      places.append([])
    }
    places[place].append((number, counts[number]))
  }

  private func add(_ point: InjectionPoint) -> Int {
    pointNumbers[point] = points.count
    points.append(point)
    counts.append(0)
    return points.count - 1
  }

  private struct Kind: Hashable {
    let place: Int
    /// Passed before, at and after; -1 beyond the ends.
    let points: [Int]
  }

  /// For each point, the passages to fail when of those alike only `limit` are: the first, the last
  /// and others spread between. Rising.
  func sample(_ limit: Int) -> [(point: InjectionPoint, passages: [UInt64])] {
    var kindNumbers: [Kind: Int] = [:]
    var kinds: [(point: Int, passages: [UInt64])] = []
    for (place, passages) in places.enumerated() {
      for index in passages.indices {
        let around = (index - Self.reach...index + Self.reach).map {
          passages.indices.contains($0) ? passages[$0].point : -1
        }
        let kind = Kind(place: place, points: around)
        if let known = kindNumbers[kind] {
          kinds[known].passages.append(passages[index].nth)
        } else {
          kindNumbers[kind] = kinds.count
          kinds.append((passages[index].point, [passages[index].nth]))
        }
      }
    }
    var chosen = [[UInt64]](repeating: [], count: points.count)
    for kind in kinds {
      chosen[kind.point] += Sweep.spread(kind.passages.count, limit).map { kind.passages[$0] }
    }
    return zip(points, chosen).map { ($0, $1.sorted()) }
  }
}
