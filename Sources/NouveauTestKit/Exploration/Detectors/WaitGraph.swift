public import KernelRuntime

/// Who waits for whom among the tasks that sleep when nothing can run any more.
public struct WaitGraph {
  public let tasks: [BlockedTask]

  public init(_ tasks: [BlockedTask]) { self.tasks = tasks }

  /// The circle of waits with the task that was made first at its head; nil when there is none.
  public var circle: [BlockedTask]? {
    for start in tasks.indices {
      var seen: [Int] = []
      if let found = walk(from: start, to: start, &seen) { return found }
    }
    return nil
  }

  /// A way from one task to another along waits, without the last.
  private func walk(from: Int, to goal: Int, _ seen: inout [Int]) -> [BlockedTask]? {
    seen.append(from)
    for id in tasks[from].waitsFor {
      guard let next = tasks.firstIndex(where: { $0.id == id }) else { continue }
      if next == goal { return [tasks[from]] }
      if seen.contains(next) { continue }
      if let rest = walk(from: next, to: goal, &seen) { return [tasks[from]] + rest }
    }
    return nil
  }

  /// What the end means: a deadlock with its circle, or else tasks whom nobody will wake.
  public var offences: [Offence] {
    if let circle {
      let chain = circle.map(\.description).joined(separator: "; ")
      let others = tasks.filter { task in !circle.contains { $0.id == task.id } }
      let rest = others.isEmpty ? "" : "; behind them " + others.map(\.name).joined(separator: ", ")
      return [Offence(name: "deadlock", detail: chain + rest)]
    }
    // A task that waits for another sleeper is a consequence; the one at the end is the cause.
    let roots = tasks.filter { task in
      !task.waitsFor.contains { id in tasks.contains { $0.id == id } }
    }
    var offences: [Offence] = []
    for root in roots {
      let behind = tasks.filter { $0.id != root.id && leads($0, to: root) }.map(\.name)
      let tail = behind.isEmpty ? "" : "; behind it \(behind.joined(separator: ", "))"
      offences.append(Offence(name: Self.name(of: root), detail: root.description + tail))
    }
    return offences
  }

  /// Every way along waits from a task that nobody waits for to the one at its end, which comes
  /// last; none where the tasks wait in a circle.
  public var chains: [[BlockedTask]] {
    let heads = tasks.filter { task in !tasks.contains { $0.waitsFor.contains(task.id) } }
    return heads.flatMap { chains(from: $0, []) }
  }

  private func chains(from task: BlockedTask, _ before: [BlockedTask]) -> [[BlockedTask]] {
    if before.contains(where: { $0.id == task.id }) { return [] }
    let path = before + [task]
    let next = task.waitsFor.compactMap { id in tasks.first { $0.id == id } }
    if next.isEmpty { return [path] }
    return next.flatMap { chains(from: $0, path) }
  }

  private func leads(_ task: BlockedTask, to root: BlockedTask) -> Bool {
    var seen: [Int] = []
    var open = task.waitsFor
    while let id = open.popLast() {
      if id == root.id { return true }
      if seen.contains(id) { continue }
      seen.append(id)
      if let next = tasks.first(where: { $0.id == id }) { open += next.waitsFor }
    }
    return false
  }

  private static func name(of task: BlockedTask) -> String {
    switch task.reason {
    case .lock: "hang.lock-never-released"
    case .fence: "hang.fence-never-signalled"
    case .pageLock: "hang.page-lock-never-released"
    case .queue: "hang.lost-wake-up"
    case .join: "hang.join"
    case .sleep: "hang.sleep"
    }
  }
}
