import Base
import LinuxMM
import Machine

extension MachineTarget {
  /// Makes a mapping with what stands behind it.
  func map(
    _ plan: MappingPlan, _ space: AddressSpace, _ bytes: UInt64, _ at: VirtualAddress?
  ) async throws(KernelError) -> VirtualAddress {
    let protection = Protection(plan.protection)
    switch plan.kind {
    case .anonymous:
      return try await space.map(bytes: bytes, protection, at: at, name: plan.name)
    case .shared:
      return try await space.map(
        bytes: bytes, protection, at: at, flags: [.anonymous, .shared], name: plan.name)
    case .privateFile, .sharedFile:
      let file = try machine.mm.createFile(plan.name, bytes: bytes)
      return try await space.map(
        file, bytes: bytes, protection, shared: plan.kind == .sharedFile, at: at, name: plan.name)
    }
  }

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
      case .huge, .noHuge: try await place.space.adviseHuge(range, advice == .huge)
      case .collapse: try await place.space.collapse(range)
      default: throw .EOPNOTSUPP
      }
    }
  }
}
