import Base
import KernelRuntime
import LinuxMM

// Steps that take pages from processes; none changes what they see.
extension ProcessWorld {
  func playReclaim(
    _ step: ProcessStep, _ space: AddressSpace, _ range: VirtualRange
  ) async throws {
    let mm = machine.mm
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
      try await mm.swapOff()
      try mm.swapOn(pages: Self.swapPages)
    case .failingMigrate:
      machine.kernel.failures.arm(.migrateCommit, .nth(1 + step.value % 3))
      _ = try? await machine.device.take(space, range)
      machine.kernel.failures.disarm()
    case .lock:
      _ = try? await space.lockMemory(range, onFault: true)
    case .unlock:
      _ = try? await space.unlockMemory(range)
    case .offline:
      guard case .ram(let page) = space.entry(at: range.start).location else { return }
      do throws(KernelError) {
        try await mm.softOffline(page)
      } catch {
        if error != .EBUSY { throw Mismatch("taking a page out of use gave \(error)") }
        return
      }
      try mm.unpoison(page)
    default:
      break
    }
  }

  static let swapPages = 40

  /// After the end, nothing may be charged or swapped out.
  func endReclaim() throws {
    if machine.mm.usedSwapPages != 0 { throw Mismatch("swap slots leaked") }
    if group.charged != 0 || group.swapped != 0 { throw Mismatch("charges leaked") }
  }
}
