public import Base
import KernelRuntime

extension MemoryManager {
  /// Gives pages back; the process may have exited meanwhile (`unpin_user_pages_dirty_lock`,
  /// `put_page`).
  ///
  /// - Parameter dirty: the holder wrote into them.
  public func release(_ held: UserPages, dirty: Bool = false) {
    invariant(!held.isReleased, "pages at \(held.address) unpinned twice")
    held.isReleased = true
    for pfn in held.pfns {
      if dirty { markDirty(pfn) }
      drop(held.hold, pfn)
    }
  }

  /// Says that a page's bytes are newer than any copy of them in swap space or in a file
  /// (`set_page_dirty_lock`). For who writes past the CPU's entries, whose dirty bit stays as it
  /// was; a mirror says it when it maps a page for writing, before the mapping can be used.
  public func markDirty(_ pfn: PFN) {
    if pfn != Self.zeroPage { pages[folio(pfn.index)].flags.insert(.dirty) }
  }

  /// Gives pinned pages back.
  public func unpin(_ pinned: PinnedPages, dirty: Bool = false) {
    invariant(
      pinned.hold == .pin, "pages at \(pinned.address) are held by references, not pinned")
    release(pinned, dirty: dirty)
  }

  /// Takes a hold of a page (`try_grab_folio`); the zero page goes nowhere and is not counted.
  func take(_ hold: UserPages.Hold, _ pfn: PFN) {
    if pfn == Self.zeroPage { return }
    let head = folio(pfn.index)
    pages[head].references += 1
    if hold == .pin { changePins(head, by: 1) }
  }

  /// Drops a hold of a page (`gup_put_folio`).
  func drop(_ hold: UserPages.Hold, _ pfn: PFN) {
    if pfn == Self.zeroPage { return }
    let head = folio(pfn.index)
    if hold == .pin { changePins(head, by: -1) }
    drop(head)
  }

  private func changePins(_ head: Int, by change: Int) {
    let pfn = PFN(UInt64(head))
    let count = pinCount(pfn) + change
    invariant(count >= 0, "page \(pfn) unpinned more often than pinned")
    if isSystemPage(pfn) {
      pages[head].extra = UInt32(count)
    } else {
      devices.pagemap(of: pfn)?.setPins(pfn, count)
    }
  }

  /// GUP pins of a page, or of the huge page that it is part of; device-private pages have none.
  public func pinCount(_ pfn: PFN) -> Int {
    if isSystemPage(pfn) { return Int(pages[folio(pfn.index)].extra) }
    return devices.pagemap(of: pfn)?.pins(folio(of: pfn)) ?? 0
  }

  /// Whether somebody's device may use the page (`folio_maybe_dma_pinned`).
  @inline(__always)
  func isPinned(_ pfn: Int) -> Bool { pinCount(PFN(UInt64(pfn))) > 0 }

  /// Whether a page may be pinned for ever: device memory must stay evictable
  /// (`folio_is_longterm_pinnable`).
  func isLongTermPinnable(_ pfn: PFN) -> Bool { isSystemPage(pfn) }
}

/// Who holds a page, or the huge page that it is part of: what to ask of a page that doesn't
/// migrate.
public struct PageReferences: Hashable, Sendable {
  public let pfn: PFN
  /// All references (`page_count`).
  public let references: Int
  /// Page-table entries (`page_mapcount`).
  public let mappings: Int
  /// GUP pins.
  public let pins: Int
  /// Whether a CPU's LRU batch holds one.
  public let isBatched: Bool
  /// Whether the page is locked.
  public let isLocked: Bool

  /// References that are neither of an entry, nor a pin, nor of an LRU batch: plain references, or
  /// those of a migration in progress.
  public var others: Int { references - mappings - pins - (isBatched ? 1 : 0) }
  /// Whether references beyond the mappings keep the page where it is (R20). A batch doesn't: the
  /// migration drains it.
  public var holdsInPlace: Bool { pins > 0 || others > 0 }
}

extension PageReferences: CustomStringConvertible {
  public var description: String {
    func counted(_ count: Int, _ what: String) -> String {
      "\(count) \(what)\(count == 1 ? "" : "s")"
    }
    var parts: [String] = []
    if mappings > 0 { parts.append(counted(mappings, "mapping")) }
    if pins > 0 { parts.append(counted(pins, "pin")) }
    if isBatched { parts.append("an LRU batch") }
    if others > 0 { parts.append(counted(others, "other")) }
    return "page \(pfn): \(counted(references, "reference"))"
      + (parts.isEmpty ? "" : " (" + parts.joined(separator: ", ") + ")")
      + (isLocked ? ", locked" : "")
  }
}

extension MemoryManager {
  /// Counts the holders of a page, free or in use.
  public func referenceReport(_ pfn: PFN) -> PageReferences {
    let head = folio(pfn.index)
    let record = pages[head]
    let mappings = isHuge(pfn) ? entireMappings(head) + partMappings(head) : record.mappings
    return PageReferences(
      pfn: pfn, references: Int(record.references), mappings: Int(mappings),
      pins: pinCount(pfn), isBatched: record.flags.contains(.batched),
      isLocked: record.flags.contains(.locked))
  }
}
