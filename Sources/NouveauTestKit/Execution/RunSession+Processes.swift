import Base

// Steps that change processes and what they have mapped, with what they do to the shadow copies.
extension RunSession {
  func processStep(_ action: Step.Action) async throws(OperationFailure) {
    switch action {
    case .fork(let plan): try await fork(plan)
    case .move(let mapping, let keep): try await target.move(mapping, keep: keep)
    case .advise(let span, let advice, let clears): try await advise(span, advice, clears)
    case .poison(let mapping, let page):
      hasPoisoned = true
      try await target.poison(mapping: mapping, page: page)
    default: invariantFailed("no step of a process")
    }
  }

  /// The child's shadows begin as the parent's. They are kept for a fork that fails too, so that
  /// later steps on the child's mappings come back with errors.
  private func fork(_ plan: ForkPlan) async throws(OperationFailure) {
    var forks: [(parent: ShadowCopy, child: ShadowCopy)] = []
    for pair in plan.mappings {
      let parent = shadow(pair.mapping)
      guard !pair.isShared else {
        shadows.append((pair.copy, parent))
        continue
      }
      do throws(KernelError) {
        let child = try parent.beginFork()
        forks.append((parent, child))
        shadows.append((pair.copy, child))
      } catch {
        throw OperationFailure(error)
      }
    }
    defer { for (parent, child) in forks { parent.endFork(child) } }
    try await target.fork(plan)
  }

  private func advise(
    _ span: PageSpan, _ advice: ScenarioAdvice, _ clears: Bool
  ) async throws(OperationFailure) {
    guard clears else { return try await target.advise(span, advice) }
    let range = ByteSpan(span).range
    let shadow = shadow(span.mapping)
    let write = shadow.beginWrite(range, [UInt8](repeating: 0, count: range.count))
    do throws(OperationFailure) {
      try await target.advise(span, advice)
      // What may go later reads as before or as zeros: as after a store that may not have happened.
      shadow.end(write, succeeded: advice == .dontNeed)
    } catch {
      shadow.end(write, succeeded: false)
      throw error
    }
  }
}
