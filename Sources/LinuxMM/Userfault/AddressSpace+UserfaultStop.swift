import Base
import KernelRuntime

extension AddressSpace {
  /// A fault that a descriptor's handler has to serve (`handle_userfault`). The answer is SIGBUS,
  /// for callers that can't sleep without `mmapLock`; who can, finds ``stopped`` set and sleeps
  /// there instead (``waitForHandler()``).
  func stopAtUserfault(
    _ vma: VMA, _ address: VirtualAddress, _ kind: Userfault.Mode, write: Bool
  ) -> FaultStep {
    if let watch = vma.userfault, !watch.features.contains(.sigbus), !watch.isClosed {
      let shown = watch.features.contains(.exactAddress) ? address : address.pageBase
      let message = Userfault.Message.pageFault(shown, kind: kind, write: write)
      stopped = (watch, Userfault.Stop(message, page: address.pageBase))
    }
    return .failed(.sigbus(address, .EFAULT))
  }

  /// Sleeps until the handler has served the fault that stopped last; false when none did.
  ///
  /// LOCKING: without `mmapLock`; nothing was awaited since the fault.
  func waitForHandler() async -> Bool {
    guard let (watch, stop) = stopped else { return false }
    stopped = nil
    await watch.sleep(stop)
    return true
  }

  /// A touch of a marker (`handle_pte_marker`): a place that is poisoned, or empty and protected.
  func faultMarker(
    _ vma: VMA, _ address: VirtualAddress, _ slot: Int, _ entry: PageTableEntry, write: Bool
  ) async -> FaultStep {
    if entry == .poisonMarker { return .failed(.sigbus(address, .EHWPOISON)) }
    guard vma.flags.contains(.userfaultWriteProtect) else {
      // Nobody watches any more: an empty place.
      manager.tables.entries[slot] = .none
      return .done
    }
    if isUnstable { return .failed(.sigbus(address, .EFAULT)) }
    if !vma.isAnonymous {
      return await faultFile(vma, address, slot, expected: entry, write: write)
    }
    if vma.flags.contains(.userfaultMissing) {
      return stopAtUserfault(vma, address, .missing, write: write)
    }
    tally.minorFaults += 1
    guard write else {
      manager.tables.entries[slot] = .zeroPage.with(PageTableEntry.Bit.userfaultWP)
      return .done
    }
    // A place that was protected while it was empty stays so.
    typealias Bit = PageTableEntry.Bit
    let bits = Bit.written & ~Bit.write | Bit.userfaultWP
    return await installNewPage(vma, address, slot, expected: entry, bits: bits) { pfn in
      manager.clear(pfn)
    }
  }
}

extension PageTableEntry {
  /// An empty place whose next write is watched (`PTE_MARKER_UFFD_WP`).
  static let protectMarker = absent(.marker, PFN(1), Bit.userfaultWP)
  /// A place whose touch gets SIGBUS (`PTE_MARKER_POISONED`).
  static let poisonMarker = absent(.marker, PFN(2))
}
