public import Base
import KernelRuntime

extension AddressSpace {
  /// Why the page at `address` would not migrate now; nil when nothing speaks against it.
  ///
  /// Looks at the state as it is and changes nothing. What happens between now and a migration's
  /// commit can still keep the page.
  public func why(_ address: VirtualAddress, _ request: MigrationRequest) -> MigrationReason? {
    guard let vma = find(address) else { return MigrationReason(.notMapped) }
    if vma.flags.contains(.hugetlb) { return MigrationReason(.hugetlb) }
    if vma.refusesMigration { return MigrationReason(.specialMapping) }
    let entry = entry(at: address)
    if let reason = refusal(vma, entry, request) { return reason }
    guard entry.isNone || entry.isZeroPage else { return nil }
    // What the commit would say of an empty place.
    if !vma.isAnonymous { return MigrationReason(.notAnonymous) }
    if vma.flags.contains(.userfaultMissing) { return MigrationReason(.watched) }
    return isUnstable ? MigrationReason(.reaped) : nil
  }

  /// Why a driver that moves `select` would leave the page at `address`, as above.
  public func why(
    _ address: VirtualAddress, select: MigrateSelect = .system, owner: PagemapOwner? = nil
  ) -> MigrationReason? {
    let page = address.pageBase
    return why(
      address, MigrationRequest(start: page, end: page + 4096, owner: owner, select: select))
  }

  /// Writes down why each place of `places` that was not collected was left.
  ///
  /// LOCKING: in the step of the collection itself, so that the state is what it decided by. What
  /// the state doesn't explain was an injected failure.
  func explainCollection(
    _ vma: VMA, _ request: MigrationRequest, _ buffers: MigrationBuffers, _ places: Range<Int>
  ) {
    guard let reasons = buffers.reasons else { return }
    let arrays = buffers.arrays
    for place in places
    where !arrays[source: place].migrates && !buffers.isInHugePage(place) {
      let address = request.start + UInt64(place) << 12
      reasons.note(
        place, refusal(vma, entry(at: address), request) ?? unexplained(address, request))
    }
  }

  /// What kept a place that nothing speaks against: a huge page that should have been split and is
  /// still whole; else an injected failure.
  private func unexplained(
    _ address: VirtualAddress, _ request: MigrationRequest
  ) -> MigrationReason {
    if hugeEntry(address) != nil && !request.select.contains(.compound) {
      return MigrationReason(.splitFailed)
    }
    return MigrationReason(.injected, who: "mm.page_lock or mm.migrate_collect")
  }

  /// The rule that keeps an entry out of a collection; nil when none does.
  private func refusal(
    _ vma: VMA, _ entry: PageTableEntry, _ request: MigrationRequest
  ) -> MigrationReason? {
    if entry.isNone { return vma.isAnonymous ? nil : MigrationReason(.emptyPlace) }
    let pfn = entry.frame.index
    guard let kind = entry.kind else {
      if manager.isDeviceCoherent(entry.frame) {
        return manager.refusal(ofDevicePage: pfn, request, .deviceCoherent)
      }
      guard request.select.contains(.system) else { return MigrationReason(.systemPage) }
      return entry.isZeroPage ? nil : manager.refusal(pfn, request, isPresent: true)
    }
    switch kind {
    case .swap: return MigrationReason(.swapped)
    case .exclusiveRead, .exclusiveWrite: return MigrationReason(.exclusive)
    case .poison: return MigrationReason(.poisoned)
    case .marker: return MigrationReason(.marker)
    case .migrationRead, .migrationReadExclusive, .migrationWrite:
      return MigrationReason(.underMigration, who: manager.lockHolder(pfn))
    case .deviceRead, .deviceWrite:
      return manager.refusal(ofDevicePage: pfn, request, .devicePrivate)
    }
  }
}

extension MemoryManager {
  /// What keeps a device page, which the request must `select`, from being taken.
  fileprivate func refusal(
    ofDevicePage pfn: Int, _ request: MigrationRequest, _ select: MigrateSelect
  ) -> MigrationReason? {
    let owner = devices.byNumber[Int(pages[pfn].extra)]?.owner
    guard request.select.contains(select) else {
      let isForeign = request.owner != nil && owner !== request.owner
      return MigrationReason(isForeign ? .foreignOwner : .devicePage, who: owner?.name)
    }
    guard request.select.contains(.anyOwner) || (owner != nil && owner === request.owner)
    else { return MigrationReason(.foreignOwner, who: owner?.name) }
    if isPinned(pfn), !isHuge(PFN(UInt64(pfn))) {
      return reason(ofUse: pfn, expected: Int(pages[pfn].mappings) + 1)
    }
    return refusal(pfn, request, isPresent: false)
  }

  /// What keeps the page itself from being taken.
  fileprivate func refusal(
    _ pfn: Int, _ request: MigrationRequest, isPresent: Bool
  ) -> MigrationReason? {
    let record = pages[pfn]
    if !record.flags.isDisjoint(with: .large) { return hugeRefusal(folio(pfn), request) }
    if record.anonymous == .none { return MigrationReason(.notAnonymous) }
    let isFaultPage = request.faultPage?.index == pfn
    if record.flags.contains(.locked) && !isFaultPage {
      return MigrationReason(.locked, who: lockHolder(pfn))
    }
    let batched = isPresent && record.flags.contains(.batched)
    let expected =
      Int(record.mappings) + (isPresent ? 0 : 1) + (isFaultPage ? 1 : 0) + (batched ? 1 : 0)
      + (record.anonymous.isFile ? 1 : 0) + (record.flags.contains(.swapCache) ? 1 : 0)
    if Int(record.references) > expected { return reason(ofUse: pfn, expected: expected) }
    if isPresent && record.flags.isDisjoint(with: [.lru, .batched]) {
      return MigrationReason(.notIsolated)
    }
    // Collected all the same; the commit refuses it (R22).
    return record.anonymous.isFile ? MigrationReason(.notAnonymous) : nil
  }

  /// That a page has more users than `expected`, with its counts.
  func reason(ofUse pfn: Int, expected: Int) -> MigrationReason {
    let record = pages[pfn]
    let pins = pinCount(PFN(UInt64(pfn)))
    let isHead = record.flags.contains(.head)
    let mappings = isHead ? entireMappings(pfn) + partMappings(pfn) : record.mappings
    return MigrationReason(
      pins > 0 ? .pinned : .referenced,
      use: PageUse(
        references: Int(record.references), expected: expected, mappings: Int(mappings),
        pins: pins))
  }
}
