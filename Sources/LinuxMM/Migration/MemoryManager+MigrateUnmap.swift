import Base
import KernelRuntime

// The second half of collection (`migrate_device_unmap`), for pages that the walk could not finish:
// those in an LRU batch, those mapped in several places, and those named by frame number.
extension MemoryManager {
  /// Isolates and unmaps what is pending; what can't be had is put back.
  func unmapPending(_ buffers: MigrationBuffers) async {
    let arrays = buffers.arrays
    var mayDrain = true
    lru.drain(cpu: currentCPU)
    for place in 0..<buffers.count {
      let source = arrays[source: place]
      guard source.rawValue & MigratePFN.pending != 0, let pfn = source.pfn?.index else { continue }
      if source.isCompound {
        await unmapPendingFolio(buffers, place, pfn)
        continue
      }
      arrays[source: place] = MigratePFN(
        rawValue: source.rawValue & ~MigratePFN.pending | MigratePFN.reverse)
      let isSystem = pfn < frames.limit
      if isSystem && !pages[pfn].flags.contains(.lru) && mayDrain {
        await drainLRUOfAllCPUs()
        mayDrain = false
      }
      if isSystem && !pages[pfn].flags.contains(.lru) {
        await putBack(buffers, place, pfn, isolated: false)
        continue
      }
      if isSystem { lru.unlink(pfn) }
      if pages[pfn].mappings > 0 { await replaceMappings(pfn) }
      if pages[pfn].mappings > 0 && !isSystem {
        // Device memory must always be evictable: who uses a coherent page alone has to let it go.
        await revokeExclusive(pfn)
        await replaceMappings(pfn)
      }
      if pages[pfn].mappings > 0 || !hasOnlyExpectedReferences(pfn, buffers) {
        await putBack(buffers, place, pfn, isolated: isSystem)
      }
    }
  }

  /// Whether nobody but the migration uses a page that is unmapped (`migrate_vma_check_page`, R20).
  private func hasOnlyExpectedReferences(_ pfn: Int, _ buffers: MigrationBuffers) -> Bool {
    var expected: Int32 = 1
    if pfn >= frames.limit { expected += 1 }
    if pages[pfn].anonymous.isFile { expected += 1 }
    if buffers.faultPage?.index == pfn { expected += 1 }
    if pages[pfn].flags.contains(.swapCache) { expected += 1 }
    return pages[pfn].references - expected <= pages[pfn].mappings
  }

  /// The page stays where it is: its entries come back and the driver never sees it.
  private func putBack(
    _ buffers: MigrationBuffers, _ place: Int, _ pfn: Int, isolated: Bool
  ) async {
    let arrays = buffers.arrays
    arrays[source: place] = .empty
    buffers.collected -= 1
    if let reasons = buffers.reasons {
      let isLost = pfn < frames.limit && !isolated
      let expected = 1 + (pfn < frames.limit ? 0 : 1) + (buffers.faultPage?.index == pfn ? 1 : 0)
      reasons.note(
        place,
        isLost
          ? MigrationReason(.notIsolated)
          : reason(ofUse: pfn, expected: expected + Int(pages[pfn].mappings)))
    }
    if isolated { lru.add(pfn, cpu: currentCPU) }
    restoreMappings(from: pfn, to: pfn)
    if buffers.faultPage?.index != pfn { unlock(index: pfn) }
    drop(pfn)
  }

  /// Replaces every entry that maps the page by a migration entry (`try_to_migrate`).
  ///
  /// LOCKING: page lock held. Each mapping's mirrors are told with an event of its own.
  func replaceMappings(_ pfn: Int) async {
    for (_, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address),
        tables.entries[slot].names(pfn)
      else { continue }
      let event = NotifierEvent(.clear, VirtualRange(start: address, pages: 1))
      let notifies = !space.notifiers.isEmpty || kernel.trace.isOn
      if notifies { await space.invalidateStart(event) }
      // The mirrors may have slept: look again.
      if let slot = space.leafSlot(address) { replaceMapping(space, slot, pfn) }
      if notifies { space.invalidateEnd(event) }
      if pages[pfn].mappings == 0 { return }
    }
  }

  private func replaceMapping(_ space: AddressSpace, _ slot: Int, _ pfn: Int) {
    typealias Bit = PageTableEntry.Bit
    let entry = tables.entries[slot]
    guard entry.names(pfn) else { return }
    let isExclusive = pages[pfn].flags.contains(.exclusive)
    // A pinned page that is exclusive keeps its entry (`folio_try_share_anon_rmap`).
    if entry.isPresent && isExclusive && isPinned(pfn) { return }
    let isWritable = entry.isWritable || entry.kind == .deviceWrite
    let kind: PageTableEntry.Kind =
      isWritable ? .migrationWrite : isExclusive ? .migrationReadExclusive : .migrationRead
    pages[pfn].flags.remove(.exclusive)
    if entry.isPresent {
      space.flushTranslations(pages: 1)
      if entry.isDirty { pages[pfn].flags.insert(.dirty) }
    } else {
      space.tally.devicePages -= 1
    }
    tables.entries[slot] = .absent(
      kind, entry.frame, entry.rawValue & (Bit.software | Bit.young | Bit.dirty))
    removeMapping(pfn)
  }

  /// Puts `winner` wherever a migration entry names `pfn` (`remove_migration_ptes`).
  func restoreMappings(from pfn: Int, to winner: Int) {
    for (vma, space, address) in places(of: pfn) {
      guard let slot = space.leafSlot(address) else { continue }
      restoreMapping(vma, slot, from: pfn, to: winner)
    }
  }

  /// Puts `winner` into one place, if the migration entry of `pfn` is still there.
  @inline(__always)
  func restoreMapping(_ vma: VMA, _ slot: Int, from pfn: Int, to winner: Int) {
    let entry = tables.entries[slot]
    guard entry.isMigration, entry.frame.index == pfn else { return }
    if entry.kind != .migrationRead, pages[winner].anonymous.isAnonymous {
      pages[winner].flags.insert(.exclusive)
    }
    let isPrivate = pages[winner].flags.contains(.devicePrivate)
    if isPrivate { vma.space.tally.devicePages += 1 }
    if winner < frames.limit { pages[winner].flags.formUnion(vma.arrivalFlags) }
    let folio = folio(winner)
    tables.entries[slot] = entry.arrived(
      at: winner, isPrivate: isPrivate,
      isDirty: pages[folio].flags.contains(.dirty), vma.protection)
    pages[folio].references += 1
    pages[winner].mappings += 1
  }
}

extension PageTableEntry {
  /// Whether the entry maps this page, for the CPU or as a device-private page.
  func names(_ pfn: Int) -> Bool {
    !isNone && (isPresent || isDevicePrivate) && frame.index == pfn
  }

  /// The entry that takes this migration entry's place when `winner` has arrived
  /// (`remove_migration_pte`).
  @inline(__always)
  func arrived(
    at winner: Int, isPrivate: Bool, isDirty: Bool, _ protection: Protection
  ) -> PageTableEntry {
    let isWritable = rawValue & Bit.kindAndPresent == Kind.migrationWrite.rawValue << 1
    let pfn = PFN(UInt64(truncatingIfNeeded: winner))
    if isPrivate {
      return .absent(
        isWritable ? .deviceWrite : .deviceRead, pfn, rawValue & Bit.software)
    }
    var bits = rawValue & (Bit.software | Bit.young)
    if isDirty { bits |= rawValue & Bit.dirty }
    if isWritable { bits |= Bit.write }
    if protection.isDisjoint(with: [.read, .write]) { bits |= Bit.noAccess }
    return .present(pfn, bits)
  }
}
