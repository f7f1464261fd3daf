public import Base
import KernelRuntime

extension Userfault {
  /// What can be done with a registered range (`uffdio_register.ioctls`).
  public enum Operation: Hashable, Sendable, CaseIterable {
    case wake
    case copy
    case zeroPage
    case move
    case writeProtect
    case resume
    case poison
  }

  /// Watches a range, and says what can be done with it (`UFFDIO_REGISTER`); a range that is
  /// registered already changes its mode.
  ///
  /// - `EINVAL`: no mode, an empty range, ends that aren't page aligned; nothing mapped there; or a
  ///   mapping that can't be watched so: only anonymous and shared memory can, `minor` only the
  ///   latter
  /// - `EPERM`: memory that may not be written
  /// - `EBUSY`: watched by another descriptor
  @discardableResult
  public func register(
    _ range: VirtualRange, _ mode: Mode
  ) async throws(KernelError) -> Set<Operation> {
    guard !mode.isEmpty, !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    guard !isClosed else { throw .EBADF }
    await space.mmapLock.lock()
    defer { space.mmapLock.unlock() }
    let met = space.mappings.filter { $0.range.overlaps(range) }
    guard !met.isEmpty else { throw .EINVAL }
    for vma in met {
      guard vma.canBeWatched(mode) else { throw .EINVAL }
      guard !vma.refusesWrite else { throw .EPERM }
      guard vma.userfault == nil || vma.userfault === self else { throw .EBUSY }
    }
    await space.splitHugeEnds(range)
    for vma in space.mappings[space.isolate(range)] {
      vma.userfault = self
      vma.flags = vma.flags.subtracting(.userfault).union(VMA.Flags(mode))
    }
    space.merge(around: range)
    var possible: Set<Operation> = [.wake, .copy, .zeroPage, .move, .poison]
    if mode.contains(.writeProtect) { possible.insert(.writeProtect) }
    if mode.contains(.minor) { possible.insert(.resume) }
    return possible
  }

  /// Ends the watching of a range and wakes who sleeps there (`UFFDIO_UNREGISTER`).
  ///
  /// `EINVAL` as for ``register(_:_:)``.
  public func unregister(_ range: VirtualRange) async throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    await space.mmapLock.lock()
    defer { space.mmapLock.unlock() }
    let met = space.mappings.filter { $0.range.overlaps(range) }
    guard !met.isEmpty, met.allSatisfy({ $0.canBeWatched([]) }) else { throw .EINVAL }
    await space.splitHugeEnds(range)
    for vma in space.mappings[space.isolate(range)] where vma.userfault === self {
      await space.stopWatching(vma)
    }
    space.merge(around: range)
    wakeFaults(range)
  }
}

extension AddressSpace {
  /// Ends the watching of one mapping: protected pages are ordinary again.
  ///
  /// LOCKING: `mmapLock` held for writing.
  func stopWatching(_ vma: VMA) async {
    if vma.flags.contains(.userfaultWriteProtect) {
      await setUserfaultProtection(vma, vma.range, isProtected: false, marksEmpty: false)
    }
    vma.userfault = nil
    vma.flags.subtract(.userfault)
  }

  /// Ends all watching by one descriptor (`userfaultfd_release`).
  func forgetUserfault(_ watch: Userfault) async {
    await mmapLock.lock()
    for vma in mappings where vma.userfault === watch { await stopWatching(vma) }
    merge(around: VirtualRange.user)
    mmapLock.unlock()
  }
}

extension VMA {
  /// Whether a descriptor can watch the mapping in this mode (`vma_can_userfault`).
  func canBeWatched(_ mode: Userfault.Mode) -> Bool {
    let isSharedMemory = file?.kind == .sharedMemory
    if mode.contains(.minor) && !isSharedMemory { return false }
    guard flags.isDisjoint(with: [.special, .hugetlb]) else { return false }
    return isAnonymous || isSharedMemory
  }
}

extension VMA.Flags {
  /// What a descriptor's registration sets (`__VM_UFFD_FLAGS`).
  static let userfault: VMA.Flags = [.userfaultMissing, .userfaultWriteProtect, .userfaultMinor]

  init(_ mode: Userfault.Mode) {
    self = []
    if mode.contains(.missing) { insert(.userfaultMissing) }
    if mode.contains(.writeProtect) { insert(.userfaultWriteProtect) }
    if mode.contains(.minor) { insert(.userfaultMinor) }
  }
}
