public import Base
import KernelRuntime

extension AddressSpace {
  /// Replaces the process's memory by an empty one, of another program (`exec_mmap`).
  ///
  /// The old memory ends as by ``exit()``: mirrors are released, device pages go back to their
  /// drivers. Subscriptions of mirrors don't carry over.
  ///
  /// `ESRCH` once the process has exited, `ENOMEM` when the new memory can't be had; the old one
  /// stays then.
  public func exec(_ name: String? = nil) async throws(KernelError) -> AddressSpace {
    guard !isExiting else { throw .ESRCH }
    let fresh = try manager.createAddressSpace(name ?? self.name)
    await exit()
    return fresh
  }

  /// What a child of ``fork(_:)`` shall get of a range.
  public enum ForkAdvice: Sendable, CaseIterable {
    /// Nothing (`MADV_DONTFORK`).
    case dontFork
    /// The mapping again (`MADV_DOFORK`).
    case doFork
    /// The mapping without its pages (`MADV_WIPEONFORK`).
    case wipeOnFork
    /// The pages again (`MADV_KEEPONFORK`).
    case keepOnFork
  }

  /// Says what a child gets of `range` (`madvise_vma_behavior`).
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned, for `doFork` of a driver's own
  /// mapping, and for `wipeOnFork` of anything but private anonymous memory; `ENOMEM` when part of
  /// the range isn't mapped. Nothing is changed then.
  public func advise(_ range: VirtualRange, _ advice: ForkAdvice) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    guard covers(range) else { throw .ENOMEM }
    let first = firstMapping(above: range.start)
    for vma in mappings[first...] where vma.range.overlaps(range) {
      if advice == .doFork && vma.isSpecial { throw .EINVAL }
      if advice == .wipeOnFork && !vma.isAnonymous { throw .EINVAL }
    }
    await splitHugeEnds(range)
    for vma in mappings[isolate(range)] {
      switch advice {
      case .dontFork: vma.flags.insert(.dontFork)
      case .doFork: vma.flags.remove(.dontFork)
      case .wipeOnFork: vma.flags.insert(.wipeOnFork)
      case .keepOnFork: vma.flags.remove(.wipeOnFork)
      }
    }
    merge(around: range)
  }
}
