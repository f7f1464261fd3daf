public import Base
import KernelRuntime

/// Pages held in place by `pin_user_pages`: they stay in RAM and keep their place until unpinned.
public final class PinnedPages {
  /// The pages, in order of address. The zero page is never counted as pinned.
  public let pfns: [PFN]
  public let address: VirtualAddress
  /// Whether they were given back.
  public internal(set) var isReleased = false

  init(_ pfns: [PFN], at address: VirtualAddress) {
    self.pfns = pfns
    self.address = address
  }
}

extension AddressSpace {
  /// Faults `pages` pages in and pins them (`pin_user_pages`).
  ///
  /// Device pages come back to RAM first: they can't be pinned (R42). When it throws, nothing stays
  /// pinned.
  public func pin(
    _ address: VirtualAddress, pages: Int, write: Bool
  ) async throws(AccessError) -> PinnedPages {
    var pfns: [PFN] = []
    for index in 0..<pages {
      let here = address.pageBase + UInt64(index) << UInt64(PageSize.shift)
      do throws(AccessError) {
        pfns.append(try await pinPage(here, write: write))
      } catch {
        for pfn in pfns { manager.dropPin(pfn) }
        throw error
      }
    }
    return PinnedPages(pfns, at: address.pageBase)
  }

  private func pinPage(
    _ address: VirtualAddress, write: Bool
  ) async throws(AccessError) -> PFN {
    let pfn = PFN(UInt64(try await resolve(address, write: write) >> PageSize.shift))
    manager.takePin(pfn)
    return pfn
  }

  /// Gives pinned pages back (`unpin_user_pages_dirty_lock`).
  public func unpin(_ pinned: PinnedPages, dirty: Bool = false) {
    manager.unpin(pinned, dirty: dirty)
  }
}

extension MemoryManager {
  /// Gives pinned pages back; the process may have exited meanwhile.
  public func unpin(_ pinned: PinnedPages, dirty: Bool = false) {
    invariant(!pinned.isReleased, "pages at \(pinned.address) unpinned twice")
    pinned.isReleased = true
    for pfn in pinned.pfns {
      if dirty && pfn != Self.zeroPage { pages[folio(pfn.index)].flags.insert(.dirty) }
      dropPin(pfn)
    }
  }

  func takePin(_ pfn: PFN) {
    if pfn == Self.zeroPage { return }
    let pfn = folio(pfn.index)
    pages[pfn].references += 1
    pages[pfn].extra += 1
  }

  func dropPin(_ pfn: PFN) {
    if pfn == Self.zeroPage { return }
    let pfn = folio(pfn.index)
    invariant(pages[pfn].extra > 0, "page \(pfn) unpinned more often than pinned")
    pages[pfn].extra -= 1
    drop(pfn)
  }
}
