/// The entities of one priority that have jobs (`struct drm_sched_rq`).
struct RunQueue {
  private(set) var entities: [SchedulerEntity] = []
  /// Whose turn was last.
  weak var last: SchedulerEntity?

  mutating func add(_ entity: SchedulerEntity) {
    if !contains(entity) { entities.append(entity) }
  }

  mutating func remove(_ entity: SchedulerEntity) {
    guard let index = entities.firstIndex(where: { $0 === entity }) else { return }
    if last === entity {
      // The turn stays where it was: with the one before.
      last = index > 0 ? entities[index - 1] : entities.last
    }
    entities.remove(at: index)
  }

  func contains(_ entity: SchedulerEntity) -> Bool { entities.contains { $0 === entity } }

  /// The entity whose turn it is among those whose first job waits for nothing.
  func next(_ policy: JobScheduler.Policy) -> SchedulerEntity? {
    switch policy {
    case .fifo:
      var best: SchedulerEntity?
      for entity in entities where entity.isReady {
        if best == nil || isOlder(entity, than: best) { best = entity }
      }
      return best
    case .roundRobin:
      let start = last.flatMap { last in entities.firstIndex { $0 === last } }.map { $0 + 1 } ?? 0
      for offset in entities.indices {
        let entity = entities[(start + offset) % entities.count]
        if entity.isReady { return entity }
      }
      return nil
    }
  }

  private func isOlder(_ a: SchedulerEntity, than b: SchedulerEntity?) -> Bool {
    guard let mine = a.jobs.first?.submitted, let other = b?.jobs.first?.submitted else {
      return false
    }
    return mine < other
  }
}
