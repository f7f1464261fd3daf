import KernelRuntime

/// Whether leaving out equivalent orders loses anything for a flow: the same search is made with
/// and without pruning, and their ends are compared.
///
/// An end that only the full search reaches means that the flow, or something it uses, doesn't note
/// all that its tasks share (``Kernel/touch(_:writing:)``): what pruned searches of it say doesn't
/// hold. The check is for flows that are small enough to be run in every order.
public struct PruningCheck: Sendable {
  /// Preemptions in one run; nil for no bound, and then sleep sets are checked as well.
  public var preemptions: Int?
  /// Runs of the full search, after which it is given up.
  public var limit: Int

  public init(preemptions: Int? = nil, limit: Int = 100_000) {
    self.preemptions = preemptions
    self.limit = limit
  }

  /// What the two searches came to.
  public struct Result: Sendable, CustomStringConvertible {
    /// Runs without pruning, and with it.
    public let orders: Int
    public let prunedOrders: Int
    /// The ends that were reached, sorted: offences, errors returned and marks, as one line each.
    public let ends: [String]
    /// Those of them that the pruned search didn't reach.
    public let missed: [String]
    /// Both searches ended within the limit.
    public let isComplete: Bool

    /// The searches are complete and have the same ends.
    public var passed: Bool { isComplete && missed.isEmpty }

    public var description: String {
      let state = isComplete ? "" : ", cut short"
      return "\(prunedOrders) of \(orders) orders, \(ends.count) ends\(state)"
        + missed.map { "\n  missed: \($0)" }.joined()
    }
  }

  public func check(_ flow: any Flow) -> Result {
    let pruning: ExhaustiveChoices.Pruning = preemptions == nil ? .sleepSets : .localSteps
    let all = search(flow, .none)
    let pruned = search(flow, flow.notesWhatIsShared ? pruning : .none)
    return Result(
      orders: all.runs, prunedOrders: pruned.runs, ends: all.ends.sorted(),
      missed: all.ends.subtracting(pruned.ends).sorted(),
      isComplete: all.isComplete && pruned.isComplete)
  }

  private func search(
    _ flow: any Flow, _ pruning: ExhaustiveChoices.Pruning
  ) -> (runs: Int, ends: Set<String>, isComplete: Bool) {
    let runner = FlowRunner(flow)
    let choices = ExhaustiveChoices(.init(preemptions: preemptions, pruning: pruning))
    var ends: Set<String> = []
    var runs = 0
    while runs < limit && choices.next() {
      ends.insert(end(of: runner.run(choices, seed: 0)))
      runs += 1
    }
    return (runs, ends, choices.coversBounds)
  }

  /// In an order of its own: independent tasks come back in any.
  private func end(of outcome: Outcome) -> String {
    let lines =
      outcome.offences.map(\.description).sorted() + outcome.returned.map(\.description).sorted()
      + outcome.marks.map { "\($0.name) x\($0.count)" }.sorted()
    return lines.joined(separator: ", ")
  }
}
