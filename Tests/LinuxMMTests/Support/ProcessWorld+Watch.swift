import Base
import KernelRuntime
import LinuxMM

// A userfaultfd whose faults get SIGBUS: so a place that needs a handler shows itself at once.
extension ProcessWorld {
  func playWatch(_ step: ProcessStep, _ process: Int) async throws {
    let range = Self.window.subrange(step.range)
    let watch = try self.watch(process)
    let met = oracle.mapped(process, step.range)
    switch step.kind {
    case .watch:
      let mode: Userfault.Mode = [.missing, .writeProtect, [.missing, .writeProtect]][
        Int(step.value % 3)]
      let fits = met.allSatisfy { canBeWatched(process, $0) }
      try await expect(fits && !met.isEmpty ? nil : .EINVAL) { () async throws(KernelError) in
        try await watch.register(range, mode)
      }
      guard fits else { return }
      for place in met {
        oracle.change(process, place) {
          $0.watch = mode
          if !mode.contains(.writeProtect), $0.guarding == .sure { $0.guarding = .unsure }
        }
      }
    case .unwatch:
      let fits = met.allSatisfy { canBeWatched(process, $0) }
      try await expect(fits && !met.isEmpty ? nil : .EINVAL) { () async throws(KernelError) in
        try await watch.unregister(range)
      }
      guard fits else { return }
      for place in met {
        oracle.change(process, place) {
          if $0.watch.contains(.writeProtect) { $0.guarding = .none }
          $0.watch = []
        }
      }
    case .guardWrites, .letWrite:
      let isGuarded = step.kind == .guardWrites
      let fits =
        !met.isEmpty
        && met.allSatisfy {
          oracle.processes[process][$0]?.watch.contains(.writeProtect) == true
        }
      try await expect(fits ? nil : .ENOENT) { () async throws(KernelError) in
        try await watch.protect(range, isGuarded)
      }
      guard fits else { return }
      for place in met {
        oracle.change(process, place) {
          $0.guarding = isGuarded ? ($0.mayBeGone ? .unsure : .sure) : .none
        }
      }
    case .fill: try await fill(step, process, watch)
    default: break
    }
  }

  private func canBeWatched(_ process: Int, _ place: Int) -> Bool {
    guard let page = oracle.processes[process][place] else { return false }
    return page.isAnonymous || page.isSharedMemory
  }

  private func watch(_ process: Int) throws(KernelError) -> Userfault {
    if let watch = watches[process] { return watch }
    let watch = try spaces[process].openUserfault([
      .sigbus, .writeProtect, .writeProtectUnpopulated,
    ])
    watches[process] = watch
    return watch
  }

  /// A handler puts a page into a place, if it is empty.
  private func fill(_ step: ProcessStep, _ process: Int, _ watch: Userfault) async throws {
    let page = oracle.processes[process][step.first]
    var failure: KernelError?
    do throws(KernelError) {
      let bytes = step.value.bytes + [UInt8](repeating: 0, count: 4088)
      try await watch.copy(Self.window.page(step.first), bytes)
    } catch {
      failure = error
    }
    guard let page, !page.watch.isEmpty else {
      if failure != .ENOENT { throw Mismatch("filled without a watch: \(failure as Any)") }
      return
    }
    let isEmpty =
      page.isShared
      ? page.backing.map { oracle.objects[$0.object].words[$0.page] == 0 } ?? false
      : !page.isLost && (page.own == nil || page.mayBeGone)
    switch failure {
    case nil:
      guard isEmpty else { throw Mismatch("filled a place that was not empty") }
      oracle.store(process, step.first, step.value)
      oracle.change(process, step.first) { $0.guarding = .none }
    case .EEXIST: break
    case .ENOMEM where oracle.isTight: break
    default: throw Mismatch("a fill gave \(failure as Any)")
    }
  }
}
