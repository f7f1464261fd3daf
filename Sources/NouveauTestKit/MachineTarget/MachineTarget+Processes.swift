import Base
import LinuxMM
import Machine

extension MachineTarget {
  public func fork(_ plan: ForkPlan) async throws(OperationFailure) {
    let parent = try process(plan.process)
    let child = try await calling { () throws(KernelError) in
      try await machine.fork(parent, plan.child)
    }
    processes.append((plan.child, child))
    for pair in plan.mappings {
      let range = try place(pair.mapping).range
      mappings.append((pair.copy, MappingPlace(process: child, range: range)))
    }
  }

  public func advise(
    _ span: PageSpan, _ advice: ScenarioAdvice
  ) async throws(OperationFailure) {
    let place = try place(span.mapping)
    let range = place.range(span.pages)
    try await calling { () throws(KernelError) in
      switch advice {
      case .dontNeed: try await place.space.discard(range)
      default: throw .EOPNOTSUPP
      }
    }
  }
}
