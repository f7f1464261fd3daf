// The search tree of ExhaustiveChoices: nodes, preemption counting, sleep sets.

extension ExhaustiveChoices {
  /// A decision on the path from the start of the run.
  struct Node {
    /// Its options are those of the path from here to the next node's, or to the end.
    let firstOption: Int
    /// The option in progress, as an index into all options.
    var chosen: Int
    /// A task could have gone on here, so that another choice is a preemption.
    let isPoint: Bool
    /// What was seen up to here.
    let context: UInt64
    /// Preemptions before this decision.
    let spent: Int
    /// Runnables whose next step, as it was seen, gives nothing new until a step that depends on it
    /// is taken.
    var sleep: [Footprints.Segment] = []
    /// What the chosen option's step touched, once it was run.
    var step: Footprints.Segment?
    /// Other options are not tried.
    var isFrozen = false
  }

  func cost(_ node: Node, _ option: Int) -> Int {
    if options[option] == .time { return option == node.firstOption ? 0 : 1 }
    return node.isPoint && option != node.firstOption ? 1 : 0
  }

  private func isAsleep(_ node: Node, _ option: Int) -> Bool {
    guard !node.sleep.isEmpty, case .runnable(let id) = options[option].kind else { return false }
    return node.sleep.contains { $0.id == id }
  }

  private func isAffordable(_ node: Node, _ option: Int) -> Bool {
    guard let bound = bounds.preemptions else { return true }
    return node.spent + cost(node, option) <= bound
  }

  /// Notes what the step since the last decision touched.
  func closeStep() {
    guard let log = footprints, let last = path.indices.last else { return }
    guard path[last].step == nil else { return }
    let id: Int
    switch options[path[last].chosen].kind {
    case .runnable(let chosen): id = chosen
    case .time, .usual: id = -1
    case .draw: id = log.segments.first?.id ?? -1
    }
    path[last].step =
      log.segments.first { $0.id == id } ?? Footprints.Segment(id: id)
  }

  /// A step that a draw divides isn't known as a whole, so everything depends on it.
  func closeStepBeforeDraw() {
    if footprints != nil, let last = path.indices.last, path[last].step == nil {
      path[last].step = Footprints.Segment(id: -1)
    }
  }

  /// The sleepers of a new node: those of its parent that the steps since then don't depend on.
  func inheritSleep(_ node: inout Node) {
    guard bounds.pruning == .sleepSets, let log = footprints, let parent = path.last else { return }
    var sleep = parent.sleep
    var isRedundant = parent.isFrozen
    for segment in log.segments {
      // A sleeper that ran without a choice repeats what another order has shown.
      if sleep.contains(where: { $0.id == segment.id }) { isRedundant = true }
      sleep.removeAll { !$0.isIndependent(of: segment) }
    }
    node.sleep = sleep
    node.isFrozen = isRedundant
  }

  /// Moves a new node's choice to the first option that isn't asleep and within the bound.
  func skipSleepers() {
    let last = path.count - 1
    guard !path[last].sleep.isEmpty, !path[last].isFrozen else { return }
    if let option = nextOption(path[last], from: path[last].firstOption) {
      path[last].chosen = option
    } else {
      // All that could come was seen in another order: the run goes on, but isn't varied.
      path[last].isFrozen = true
    }
  }

  private func nextOption(_ node: Node, from first: Int) -> Int? {
    (first..<max(first, options.count)).first { isAffordable(node, $0) && !isAsleep(node, $0) }
  }

  /// Goes back to the last decision with an option left, and takes it; false when there is none.
  func backtrack() -> Bool {
    while let node = path.last {
      if let option = alternative(to: node) {
        let last = path.count - 1
        if bounds.pruning == .sleepSets, let step = node.step,
          case .runnable = options[node.chosen].kind
        {
          path[last].sleep.append(step)
        }
        path[last].chosen = option
        path[last].step = nil
        return true
      }
      options.removeLast(options.count - node.firstOption)
      path.removeLast()
    }
    return false
  }

  private func alternative(to node: Node) -> Int? {
    if node.isFrozen { return nil }
    if bounds.pruning != .none && node.isPoint && node.chosen == node.firstOption,
      let step = node.step, step.id >= 0 && step.accesses.isEmpty
    {
      // To preempt before a step that shares nothing is to preempt after it.
      return nil
    }
    return nextOption(node, from: node.chosen + 1)
  }
}
