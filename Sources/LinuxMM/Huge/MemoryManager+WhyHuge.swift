import Base

extension MigrationBuffers {
  /// Whether a place belongs to a huge page that was collected as one word.
  func isInHugePage(_ place: Int) -> Bool {
    compounds.contains { ($0..<$0 + HugePage.pages).contains(place) }
  }
}

extension MemoryManager {
  /// What keeps a huge page from being collected, whole or split; nil when nothing does.
  func hugeRefusal(_ head: Int, _ request: MigrationRequest) -> MigrationReason? {
    let isFaultPage = request.faultPage.map { folio($0.index) == head } ?? false
    if pages[head].flags.contains(.locked) && !isFaultPage {
      return MigrationReason(.locked, who: lockHolder(head))
    }
    let parts = partMappings(head)
    let expected = Int(entireMappings(head) + parts) + (isFaultPage ? 1 : 0)
    if Int(pages[head].references) > expected { return reason(ofUse: head, expected: expected) }
    // As in 6.12, parts that are mapped by base entries stay until somebody splits the page.
    return parts > 0 ? MigrationReason(.splitFailed) : nil
  }
}
