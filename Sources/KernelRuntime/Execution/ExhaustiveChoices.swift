import Base
public import DequeModule

/// Goes through every order within bounds, one run after the other: a depth-first search without
/// stored states.
///
/// The first run is the plain order; each later one repeats a prefix of an earlier run and then
/// decides otherwise once. Preemptions are counted and bounded as in CHESS; switches where the
/// running task has come to rest are free, and letting time pass while something could run counts
/// as a preemption. What a flow calls its set-up goes by the plain order in every run
/// (``setsUp(_:)``).
///
/// SOURCE: M. Musuvathi, S. Qadeer, "Iterative context bounding for systematic testing of
/// multithreaded programs", PLDI 2007; yields as in their "Fair stateless model checking", PLDI
/// 2008: a task that polls isn't chosen again while another can run.
public final class ExhaustiveChoices: Choices {
  /// What equivalent orders are left out, and what that promises.
  public enum Pruning: String, Sendable, Hashable, CaseIterable {
    /// None: every order within the bounds, for any flow.
    case none
    /// A step that touches nothing shared isn't preempted: to preempt after it gives the same
    /// orders with no more preemptions. Keeps every outcome within the bound, for flows that note
    /// what they touch.
    case localSteps
    /// Sleep sets as well (P. Godefroid, LNCS 1032, 1996): of orders that differ only in the order
    /// of independent steps one is run. Keeps every outcome when preemptions aren't bounded. Under
    /// a bound it may leave out an outcome, since the order that stands for the others may be
    /// beyond the bound (K. Coons, M. Musuvathi, K. McKinley, OOPSLA 2013).
    case sleepSets
  }

  public struct Bounds: Sendable, Hashable {
    /// Preemptions in one run; nil for no bound.
    public var preemptions: Int? = 2
    public var pruning = Pruning.none
    /// Decisions after which a run is not varied any further.
    public var decisions = 10_000
    /// Draws with at most so many outcomes are varied; others come from the seed.
    public var drawOutcomes = 0

    public init(preemptions: Int? = 2, pruning: Pruning = .none) {
      self.preemptions = preemptions
      self.pruning = pruning
    }
  }

  public let bounds: Bounds
  let seed: UInt64
  /// Orders are dealt out to shards by their first decisions.
  static let sharedDecisions = 8
  private let shard: (index: Int, count: Int)
  var data: SplitMix64
  var path: [Node] = []
  /// The options of all nodes of the path, one after the other.
  var options: [Decision] = []
  var depth = 0
  private var yielder = -1
  private var isSettingUp = false
  private var context = DecisionContext()
  private let log: Footprints?
  /// The search has ended: every order within the bounds was run.
  public private(set) var isExhausted = false
  /// An order was cut at the bound on decisions, so that the search isn't complete.
  public private(set) var wasCut = false
  /// A repeated prefix didn't meet the decisions of its first run: the flow isn't deterministic.
  public private(set) var divergence: Divergence?

  /// - Parameter shard: which part of the orders, from 0, and of how many.
  public init(
    _ bounds: Bounds = Bounds(), seed: UInt64 = 0, shard: (index: Int, count: Int) = (0, 1)
  ) {
    self.bounds = bounds
    self.shard = shard
    self.seed = seed
    data = .dataDraws(seed: seed)
    log = bounds.pruning == .none ? nil : Footprints()
  }

  public var preempts: Bool { true }
  public var reorders: Bool { true }
  public var advancesTime: Bool { true }
  public var footprints: Footprints? { log }

  /// Whether the end of the search means that no outcome within the bounds was missed, for a flow
  /// that notes all that it shares (``Kernel/touch(_:writing:)``) where pruning needs it.
  public var coversBounds: Bool {
    isExhausted && !wasCut && divergence == nil
      && (bounds.pruning != .sleepSets || bounds.preemptions == nil)
  }

  /// Whether the order just run belongs to this shard; others are run once, to find out.
  public var isOwnOrder: Bool {
    if shard.count <= 1 { return true }
    var hash = DecisionContext()
    for node in path.prefix(Self.sharedDecisions) { hash.mix(UInt64(options[node.chosen].raw)) }
    return Int(hash.hash >> 33) % shard.count == shard.index
  }

  /// Turns to the next order; false when none is left.
  public func next() -> Bool {
    if isExhausted { return false }
    if depth == 0 && path.isEmpty && !hasBegun {
      hasBegun = true
    } else {
      closeStep()
      if !backtrack() {
        isExhausted = true
        return false
      }
    }
    depth = 0
    yielder = -1
    isSettingUp = false
    context = DecisionContext()
    data = .dataDraws(seed: seed)
    log?.clear()
    return true
  }

  private var hasBegun = false

  public func yields(_ task: Runnable) { yielder = task.id }
  public func setsUp(_ isSettingUp: Bool) { self.isSettingUp = isSettingUp }

  public func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick {
    context.see(current: current, ready: ready, timeMayPass: timeMayPass)
    let avoided = current == nil ? yielder : -1
    yielder = -1
    if isSettingUp { return plain(current: current, ready: ready, avoided: avoided) }
    let decision: Decision
    if depth < path.count {
      decision = repeated()
    } else {
      closeStep()
      let first = options.count
      // The usual answer stands first, so that the first run is the plain one.
      if let current {
        options.append(.runnable(current.id))
      }
      for index in ready.indices where ready[index].id != avoided {
        options.append(.runnable(ready[index].id))
      }
      if options.count == first { options.append(.runnable(avoided)) }
      if timeMayPass { options.append(.time) }
      decision = open(first, isPoint: current != nil)
    }
    log?.clear()
    if let current, decision == .runnable(current.id) {
      log?.begin(current.id)
      return .current
    }
    if let pick = decision.pick(current: current, ready: ready, timeMayPass: timeMayPass) {
      if pick == .time { log?.begin(-1) }
      return pick
    }
    diverged("\(decision.kind) can't be chosen")
    return current == nil ? .ready(0) : .current
  }

  /// The answer of the plain order, which is no node of the tree.
  private func plain(
    current: Runnable?, ready: borrowing Deque<Runnable>, avoided: Int
  ) -> Pick {
    // Steps of a set-up touch the same in every run; the first decision after it stands alone.
    log?.clear()
    if let current {
      log?.begin(current.id)
      return .current
    }
    for index in ready.indices where ready[index].id != avoided { return .ready(index) }
    return .ready(0)
  }

  public func draw(below bound: Int, _ label: StaticString) -> Int {
    let usual = data.below(bound)
    guard bound > 1 && bound <= bounds.drawOutcomes && !isSettingUp else {
      log?.touch(.draws, writing: true)
      return usual
    }
    context.see(bound: bound)
    let decision: Decision
    if depth < path.count {
      decision = repeated()
    } else {
      closeStepBeforeDraw()
      let first = options.count
      options.append(.draw(usual))
      for value in 0..<bound where value != usual { options.append(.draw(value)) }
      decision = open(first, isPoint: false)
    }
    let id = log?.segments.last?.id
    log?.clear()
    if let id { log?.begin(id) }
    if case .draw(let value) = decision.kind, value < bound { return value }
    diverged("a draw isn't what it was")
    return usual
  }

  /// The decision of the prefix that is due.
  private func repeated() -> Decision {
    let node = path[depth]
    if node.context != context.hash { diverged("what could run isn't what it was") }
    depth += 1
    let decision = options[node.chosen]
    context.mix(UInt64(decision.raw))
    return decision
  }

  /// Adds a node with the options from `first` on, and takes its first one that is worth trying.
  private func open(_ first: Int, isPoint: Bool) -> Decision {
    var node = Node(
      firstOption: first, chosen: first, isPoint: isPoint, context: context.hash,
      spent: path.last.map { $0.spent + cost($0, $0.chosen) } ?? 0)
    inheritSleep(&node)
    if depth >= bounds.decisions {
      wasCut = true
      node.isFrozen = true
    }
    if depth >= Self.sharedDecisions && !isOwnOrder { node.isFrozen = true }
    path.append(node)
    depth += 1
    skipSleepers()
    let decision = options[path[depth - 1].chosen]
    context.mix(UInt64(decision.raw))
    return decision
  }

  private func diverged(_ explanation: String) {
    if divergence == nil { divergence = Divergence(step: depth, explanation: explanation) }
  }
}
