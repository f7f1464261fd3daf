import Dispatch
import Synchronization

extension Exploration {
  /// As ``explore(_:)`` on `jobs` threads, each with a flow of its own and every `jobs`-th order.
  ///
  /// The report is the same as on one thread for a plan that is carried out to its end; a plan that
  /// stops at an offence may have run more orders by then.
  public func explore(
    jobs: Int, _ makeFlow: @escaping @Sendable () -> any Flow
  ) -> ExplorationReport {
    guard jobs > 1, strategy != .plain else { return explore(makeFlow()) }
    let parts = Mutex([ExplorationReport?](repeating: nil, count: jobs))
    DispatchQueue.concurrentPerform(iterations: jobs) { job in
      var plan = self
      // The shard's own orders are dealt out again: order n goes to the job n / shards mod jobs.
      guard
        let shard = Shard(shard.index + job * shard.count, of: shard.count * jobs)
      else { return }
      plan.shard = shard
      let report = plan.explore(makeFlow())
      parts.withLock { $0[job] = report }
    }
    let reports = parts.withLock { $0.compactMap(\.self) }
    var merged = ExplorationReport(plan: self, flow: makeFlow())
    for report in reports { merged.join(report) }
    merged.finishJoining(reports)
    return merged
  }
}
