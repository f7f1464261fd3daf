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
    static let firstLock = 3
    /// A row of the matrix is one word.
    static let limit = 64
  }

  private var names = ["dma_fence", "fs_reclaim", "mmu_notifier"]
  private var classes: [LockClass] = []
  private var successors: [UInt64] = [0, 0, 0]
  /// Who was seen first at an edge, by `from * 64 + to`.
  private var witnesses: [Int: String] = [:]

  /// The rules alone; copied, because a machine is made for every order that is tried.
  static let initial = DependencyGraph()

  private init() {
    // SOURCE: drivers/dma-buf/dma-resv.c dma_resv_lockdep() and dma-fence.c's text on signalling:
    // what any driver may do, whether this run's drivers do it or not.
    insert(Node.reclaim, Node.notifier, "rule: reclaim calls MMU notifiers")
    insert(Node.notifier, Node.fence, "rule: an MMU notifier may wait for a fence")
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
    var edges: [(from: String, to: String, witness: String)] = []
    for from in successors.indices where from >= Node.firstLock {
      for to in successors.indices where to >= Node.firstLock && has(from, to) {
        guard let witness = witnesses[from * Node.limit + to], !witness.hasPrefix("rule: ") else {
          continue
        }
        edges.append((names[from], names[to], witness))
      }
    }
    return edges
  }

  /// The shortest way `from -> … -> to`, each step with its witness; nil when there is none.
  func path(_ from: Int, _ to: Int) -> [String]? {
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
