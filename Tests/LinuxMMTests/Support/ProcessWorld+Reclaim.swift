import Base
import KernelRuntime
import LinuxMM

// Steps that take pages from processes; only those that the oracle knows of change what they see.
extension ProcessWorld {
  func playReclaim(_ step: ProcessStep, _ process: Int) async throws {
    let mm = machine.mm
    let space = spaces[process]
    let range = Self.window.subrange(step.range)
    switch step.kind {
    case .swapOut:
      do throws(KernelError) {
        try await space.swapOut(range)
      } catch {
        // A hole, or a locked mapping.
        if error != .ENOMEM && error != .EINVAL { throw Mismatch("swapping out gave \(error)") }
      }
    case .failingSwapOut:
      machine.kernel.failures.arm(.swapWrite, .nth(1 + step.value % 3))
      _ = try? await space.swapOut(range)
      machine.kernel.failures.disarm()
    case .reclaim:
      await mm.reclaim(pages: step.count)
    case .swapOff:
      // Pages that come back must find room.
      setLimit(nil)
      try await mm.swapOff()
      try mm.swapOn(pages: Self.swapPages)
    case .failingMigrate:
      machine.kernel.failures.arm(.migrateCommit, .nth(1 + step.value % 3))
      _ = try? await machine.device.take(space, range)
      machine.kernel.failures.disarm()
    case .lock, .unlock:
      let isLocked = step.kind == .lock
      try await expect(oracle.isMapped(process, step.range) ? nil : .ENOMEM) {
        () async throws(KernelError) in
        if isLocked {
          try await space.lockMemory(range, onFault: true)
        } else {
          try await space.unlockMemory(range)
        }
      }
      for place in oracle.prefix(process, step.range) {
        oracle.change(process, place) { $0.isLocked = isLocked }
      }
    case .offline:
      guard case .ram(let page) = space.entry(at: range.start).location, mm.isSystemPage(page)
      else { return }
      do throws(KernelError) {
        try await mm.softOffline(page)
      } catch {
        if error != .EBUSY { throw Mismatch("taking a page out of use gave \(error)") }
        return
      }
      try mm.unpoison(page)
    case .limit:
      // Every second limit is so tight that allocations meet it.
      setLimit(step.value % 2 == 0 ? nil : max(0, group.charged - Int(step.value >> 4 % 6)))
    default:
      break
    }
  }

  private func setLimit(_ pages: Int?) {
    group.limit = pages ?? .max
    oracle.isTight = pages != nil
  }

  static let swapPages = 40

  /// Advice that drops pages: it does what it can up to a mapping that refuses it, and tells of a
  /// hole when the rest is done.
  func playAdvice(_ step: ProcessStep, _ process: Int) async throws {
    let isFree = step.kind == .freeLazily
    var expected: KernelError? = oracle.isMapped(process, step.range) ? nil : .ENOMEM
    var done: [Int] = []
    for place in oracle.mapped(process, step.range) {
      guard let page = oracle.processes[process][place] else { continue }
      guard !page.isLocked, !isFree || page.isAnonymous else {
        expected = .EINVAL
        break
      }
      done.append(place)
    }
    let space = spaces[process]
    let range = Self.window.subrange(step.range)
    try await expect(expected) { () async throws(KernelError) in
      if isFree { try await space.advise(range, .free) } else { try await space.discard(range) }
    }
    guard isFree else { return oracle.discard(process, done) }
    for place in done {
      oracle.change(process, place) { page in
        // What was lost, or lies in swap space, goes at once.
        if page.isLost { page.forget() }
        if page.own != nil { page.mayBeGone = true }
        if page.guarding == .sure { page.guarding = .unsure }
      }
    }
  }

  /// After the end, nothing may be charged or swapped out.
  func endReclaim() throws {
    if machine.mm.usedSwapPages != 0 { throw Mismatch("swap slots leaked") }
    if group.charged != 0 || group.swapped != 0 { throw Mismatch("charges leaked") }
  }
}
