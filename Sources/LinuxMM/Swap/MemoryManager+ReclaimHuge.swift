import Base
import KernelRuntime

extension MemoryManager {
  /// Splits a huge page that reclaim wants, so that its parts can go one by one
  /// (`split_folio_to_list`); false when it stays whole: it was used since the last look, can't be
  /// split now, or there is no swap space to take its parts.
  func splitForReclaim(_ head: Int, ignoresUse: Bool) async -> Bool {
    let flags = pages[head].flags
    guard flags.contains(.lru), flags.isDisjoint(with: [.locked, .mlocked, .device]),
      pages[head].anonymous.isAnonymous, let swap, swap.available > 0
    else { return false }
    if !ignoresUse && clearYoungWhole(head) { return false }
    do throws(KernelError) {
      try await splitFolio(PFN(UInt64(head)))
    } catch {
      return false
    }
    return pages[head].flags.contains(.lru)
  }

  /// Whether one mapping has all of a huge page that is mapped at all
  /// (`folio_likely_mapped_shared`).
  func isMappedByOne(_ pfn: PFN) -> Bool {
    let head = folio(pfn.index)
    let parts = (head..<head + HugePage.pages).map { pages[$0].mappings }
    return entireMappings(head) + (parts.max() ?? 0) == 1
  }

  /// Whether a huge page was used since the last look; the marks are taken off.
  private func clearYoungWhole(_ head: Int) -> Bool {
    var wasUsed = false
    for (space, range) in mappedWhole(head) {
      guard let slot = space.upperSlot(range.start) else { continue }
      let entry = tables.entries[slot]
      guard entry.isPresent, entry.isYoung else { continue }
      tables.entries[slot] = entry.without(PageTableEntry.Bit.young)
      wasUsed = true
    }
    return wasUsed
  }
}
