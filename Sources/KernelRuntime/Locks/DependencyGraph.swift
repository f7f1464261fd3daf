import Base

/// What must wait for what: locks, fences, memory reclaim and notifiers, as lockdep learns it.
///
/// An edge `a -> b` says that somebody waits for `b` while `a` can't go on without him. A cycle is
/// a deadlock that some order of events reaches, even when this run doesn't.
struct DependencyGraph {
  /// Indexes of the nodes that are no locks.
  enum Node {
    /// Fences: what must happen before one is signalled, and who waits for one.
    static let fence = 0
    /// Memory reclaim: what an allocation that may sleep waits for.
    static let reclaim = 1
    /// MMU notifiers, which reclaim calls.
    static let notifier = 2
    /// Shrinkers, which reclaim calls.
    static let shrinker = 3
    /// Lock bits of pages, all in one: who has some is not followed.
    static let page = 4
    /// Fences of work that may stand still at a page fault until the CPU serves it.
    static let faultingFence = 5
    static let firstLock = 6
    /// A row of the matrix is one word.
    static let limit = 64
  }

  private var names = [
    "dma_fence", "fs_reclaim", "mmu_notifier", "shrinker", "page lock", "fence behind page faults",
  ]
  private var classes: [LockClass] = []
  private var successors = [UInt64](repeating: 0, count: Node.firstLock)
  /// Who was seen first at an edge, by `from * 64 + to`.
  private var witnesses: [Int: String] = [:]

  /// The rules alone; copied, because a machine is made for every order that is tried.
  static let initial = DependencyGraph()

  private init() {
    // SOURCE: drivers/dma-buf/dma-resv.c dma_resv_lockdep() and dma-fence.c's text on signalling:
    // what any driver may do, whether this run's drivers do it or not.
    insert(Node.reclaim, Node.notifier, "rule: reclaim calls MMU notifiers")
    insert(Node.notifier, Node.fence, "rule: an MMU notifier may wait for a fence")
    insert(Node.reclaim, Node.shrinker, "rule: reclaim calls shrinkers")
    insert(Node.shrinker, Node.fence, "rule: a shrinker may wait for a fence")
    insert(Node.page, Node.fence, "rule: a migration waits for its copies with pages locked")
    let reservation = node(.reservation)
    insert(reservation, Node.fence, "rule: fences are waited for under dma_resv")
    insert(reservation, Node.reclaim, "rule: memory is allocated under dma_resv")
    insert(node(.mmap), reservation, "rule: faults take dma_resv under mmap_lock")
    insert(node(.mmap), Node.reclaim, "rule: memory is allocated under mmap_lock")
  }

  /// The node of a class of locks; made at its first use.
  mutating func node(_ lockClass: LockClass) -> Int {
    if let index = classes.firstIndex(where: { $0.rank == lockClass.rank && $0 == lockClass }) {
      return index + Node.firstLock
    }
    invariant(
      successors.count < Node.limit, "more than \(Node.limit - Node.firstLock) classes of locks")
    classes.append(lockClass)
    names.append(lockClass.name)
    successors.append(0)
    return successors.count - 1
  }

  func has(_ from: Int, _ to: Int) -> Bool { successors[from] & (1 << UInt64(to)) != 0 }

  mutating func insert(_ from: Int, _ to: Int, _ witness: String) {
    successors[from] |= 1 << UInt64(to)
    witnesses[from * Node.limit + to] = witness
  }

  /// The edges between locks that a run has shown; the rules' own and those of fences and reclaim
  /// are left out.
  var lockEdges: [(from: String, to: String, witness: String)] {
    let others = names[..<Node.firstLock]
    return shownEdges.filter { !others.contains($0.from) && !others.contains($0.to) }
  }

  /// Every edge that a run has shown, by the names of ``names``; the rules' own are left out.
  var shownEdges: [(from: String, to: String, witness: String)] {
    var edges: [(from: String, to: String, witness: String)] = []
    for from in successors.indices {
      for to in successors.indices where has(from, to) {
        guard let witness = witnesses[from * Node.limit + to], !witness.hasPrefix("rule: ") else {
          continue
        }
        edges.append((names[from], names[to], witness))
      }
    }
    return edges
  }

  /// Whether a way `from -> … -> to` exists. Nearly always there is none, so this comes before the
  /// search for it, and takes no memory.
  private func reaches(_ from: Int, _ to: Int) -> Bool {
    var seen: UInt64 = 0
    var reached = successors[from]
    while reached & ~seen != 0 {
      let next = (reached & ~seen).trailingZeroBitCount
      seen |= 1 << UInt64(next)
      reached |= successors[next]
    }
    return reached & (1 << UInt64(to)) != 0
  }

  /// The shortest way `from -> … -> to`, each step with its witness; nil when there is none.
  func path(_ from: Int, _ to: Int) -> [String]? {
    guard reaches(from, to) else { return nil }
    var previous = [Int](repeating: -1, count: successors.count)
    var queue = [from]
    var next = 0
    while next < queue.count {
      let here = queue[next]
      next += 1
      for step in successors.indices where has(here, step) && previous[step] < 0 {
        previous[step] = here
        if step == to { return describe(previous, from, to) }
        queue.append(step)
      }
    }
    return nil
  }

  private func describe(_ previous: [Int], _ from: Int, _ to: Int) -> [String] {
    var steps: [String] = []
    var here = to
    repeat {
      let before = previous[here]
      steps.append(step(before, here))
      here = before
    } while here != from
    return steps.reversed()
  }

  func step(_ from: Int, _ to: Int) -> String {
    let witness = witnesses[from * Node.limit + to] ?? "now"
    return "\(names[from]) -> \(names[to]) (\(witness))"
  }
}
