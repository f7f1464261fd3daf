public import Base
import KernelRuntime

// Pages of a process for a device or for the kernel itself (GUP). All return the pages from the
// first on that could be had, fewer than asked for when a later one fails; when not even the first
// can be had, they throw its error.
//
// - `EFAULT`: nothing is mapped there, the protection forbids the access, a driver's own mapping
//   without pages, or a fault that ended with a signal
// - `ENOMEM`: no page for the fault; `EHWPOISON` with ``UserPageFlags/reportPoison``
// - `EBUSY`: a device's driver never brought its page back; or a coherent page that has to move
//   out of the device for a long-term pin can't
// - `EOPNOTSUPP`: a long-term pin of a file that mappings use directly (DAX)
// - `EINVAL`: fewer than no pages, or ``UserPageFlags/longTerm`` without a pin
//
// Device-private pages come back to RAM first: they can't be pinned (R42). Coherent pages stay,
// unless the pin is a long-term one.
//
// LOCKING: `mmapLock` is taken, and let go while a fault waits.
extension AddressSpace {
  /// Takes a reference of each page (`get_user_pages_unlocked`).
  public func getUserPages(
    _ address: VirtualAddress, pages: Int, _ flags: UserPageFlags = []
  ) async throws(KernelError) -> UserPages {
    try await held(.reference, address, pages, flags, isFast: false)
  }

  /// Pins each page (`pin_user_pages_unlocked`).
  ///
  /// Page and process stay together: a shared page is copied before it is pinned, for reading too
  /// (`FAULT_FLAG_UNSHARE`), so that no later write can part them.
  public func pinUserPages(
    _ address: VirtualAddress, pages: Int, _ flags: UserPageFlags = []
  ) async throws(KernelError) -> UserPages {
    try await held(.pin, address, pages, flags, isFast: false)
  }

  /// As ``getUserPages(_:pages:_:)``, without a lock as far as entries are present
  /// (`get_user_pages_fast`). Past the end of the address space is `EFAULT`.
  public func getUserPagesFast(
    _ address: VirtualAddress, pages: Int, _ flags: UserPageFlags = []
  ) async throws(KernelError) -> UserPages {
    try await held(.reference, address, pages, flags, isFast: true)
  }

  /// As ``pinUserPages(_:pages:_:)``, without a lock as far as entries are present
  /// (`pin_user_pages_fast`).
  public func pinUserPagesFast(
    _ address: VirtualAddress, pages: Int, _ flags: UserPageFlags = []
  ) async throws(KernelError) -> UserPages {
    try await held(.pin, address, pages, flags, isFast: true)
  }

  /// Pins all of `pages` pages or none.
  ///
  /// Throws what a touch of the page that can't be had would meet.
  public func pin(
    _ address: VirtualAddress, pages: Int, write: Bool, longTerm: Bool = false
  ) async throws(AccessError) -> PinnedPages {
    let base = address.pageBase
    var flags: UserPageFlags = write ? .write : []
    if longTerm { flags.insert(.longTerm) }
    let got = await hold(.pin, base, pages, flags)
    guard let failure = got.failure else { return UserPages(.pin, got.pfns, at: base) }
    for pfn in got.pfns { manager.drop(.pin, pfn) }
    throw failure.access
  }

  /// Gives pinned pages back (`unpin_user_pages_dirty_lock`).
  public func unpin(_ pinned: PinnedPages, dirty: Bool = false) {
    manager.unpin(pinned, dirty: dirty)
  }

  /// - Parameter isFast: what is present is taken first, without a lock.
  private func held(
    _ hold: UserPages.Hold, _ address: VirtualAddress, _ pages: Int, _ flags: UserPageFlags,
    isFast: Bool
  ) async throws(KernelError) -> UserPages {
    guard pages >= 0, !flags.contains(.longTerm) || hold == .pin else { throw .EINVAL }
    let base = address.pageBase
    var pfns: [PFN] = []
    if isFast {
      guard base < VirtualRange.user.end,
        UInt64(pages) <= (VirtualRange.user.end - base) >> UInt64(PageSize.shift)
      else { throw .EFAULT }
      await kernel.point()
      pfns = holdPresent(hold, base, pages, flags)
      if pfns.count == pages || flags.contains(.fastOnly) {
        return UserPages(hold, pfns, at: base)
      }
    }
    let rest = base + UInt64(pfns.count) << UInt64(PageSize.shift)
    let got = await self.hold(hold, rest, pages - pfns.count, flags)
    pfns += got.pfns
    if pfns.isEmpty, let failure = got.failure { throw failure.error }
    return UserPages(hold, pfns, at: base)
  }

  /// Pages from `start` on until one can't be had; pages of a long-term pin move to where they may
  /// stay (`__gup_longterm_locked`).
  private func hold(
    _ hold: UserPages.Hold, _ start: VirtualAddress, _ pages: Int, _ flags: UserPageFlags
  ) async -> (pfns: [PFN], failure: UserPageFailure?) {
    await mmapLock.lockShared()
    defer { mmapLock.unlockShared() }
    var rounds = 0
    while true {
      let got = await holdLocked(hold, start, pages, flags, mayDropLock: true)
      guard flags.contains(.longTerm) else { return got }
      do throws(KernelError) {
        guard try await manager.moveUnpinnable(got.pfns) else { return got }
      } catch {
        return ([], UserPageFailure(error, .sigbus(start, error)))
      }
      rounds += 1
      // A driver that takes the pages again each time must end in a report.
      guard rounds < Self.fruitlessFaultLimit else {
        return ([], UserPageFailure(.EBUSY, .sigbus(start, .EBUSY)))
      }
    }
  }
}
