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
      case .dontNeed: try await place.space.advise(range, .dontNeed)
      case .free: try await place.space.advise(range, .free)
      case .cold: try await place.space.advise(range, .cold)
      case .pageOut: try await place.space.advise(range, .pageOut)
      case .lock: try await place.space.lockMemory(range)
      case .unlock: try await place.space.unlockMemory(range)
      case .huge, .noHuge: try await place.space.adviseHuge(range, advice == .huge)
      case .collapse: try await place.space.collapse(range)
      }
    }
  }

  /// Moves a mapping behind the last one of its process, or to where the core likes.
  public func move(_ mapping: String, keep: Bool) async throws(OperationFailure) {
    let place = try place(mapping)
    let range = place.range
    let last =
      (mappings.map(\.place) + moveTargets).filter { $0.process === place.process }
      .map(\.range.end).max() ?? range.end
    // A page stays free between two mappings, as when they were made.
    let target = keep ? nil : last + 2 * PageSize.bytes
    if let target {
      moveTargets.append(
        MappingPlace(
          process: place.process, range: VirtualRange(start: target, bytes: range.bytes)))
    }
    defer { moveTargets.removeAll { $0.process === place.process && $0.range.start == target } }
    let flags: RemapFlags = keep ? [.mayMove, .dontUnmap] : [.mayMove, .fixed]
    let start = try await calling { () throws(KernelError) in
      try await place.space.remap(
        range.start, oldBytes: range.bytes, newBytes: range.bytes, flags, to: target)
    }
    guard let index = mappings.firstIndex(where: { $0.name == mapping }) else { return }
    mappings[index].place.range = VirtualRange(start: start, bytes: range.bytes)
  }

  public func poison(mapping: String, page: Int) async throws(OperationFailure) {
    let place = try place(mapping)
    switch place.space.entry(at: place.address(page: page)).location {
    case .ram(let frame), .exclusive(let frame):
      // After a failure that was injected the page may never have left RAM.
      try await calling { () throws(KernelError) in
        try await machine.mm.memoryFailure(ofRAM: frame)
      }
    case .device(let frame):
      _ = await machine.mm.memoryFailure(frame)
    default: throw OperationFailure(.ENOENT)
    }
  }
}
