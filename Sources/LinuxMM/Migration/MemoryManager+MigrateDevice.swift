import Base
import KernelRuntime

extension MemoryManager {
  /// Collects device pages by frame number, wherever they are mapped (`migrate_device_range`).
  ///
  /// A huge page that lies whole in the range is collected as one word, which a driver meets only
  /// if it made huge pages; its parts are split off otherwise. Free pages and pages that others
  /// have locked are left out (R30), so a driver that empties its memory repeats until nothing is
  /// left. `buffers` holds at least the range.
  ///
  /// LOCKING: no process's `mmapLock` is needed.
  public func migrateDeviceSetup(
    _ range: PFNRange, _ buffers: MigrationBuffers
  ) async -> CollectedPages {
    await kernel.point()
    invariant(
      range.count <= buffers.capacity, "\(range) doesn't fit \(buffers.capacity) pages (R1)")
    invariant(range.start >= devicePages.start, "\(range) is no device memory")
    buffers.begin(self, range)
    let arrays = buffers.arrays
    var taken = 0
    for place in 0..<range.count {
      arrays[destination: place] = .empty
      arrays[source: place] = .empty
      let pfn = range.start.index + place
      guard pages[pfn].references > 0 else { continue }
      guard !pages[pfn].flags.contains(.locked) else {
        buffers.reasons?.note(place, MigrationReason(.locked, who: lockHolder(pfn)))
        continue
      }
      if kernel.failures.fires(.pageLock) || kernel.failures.fires(.migrateCollect) {
        buffers.reasons?.note(place, MigrationReason(.injected))
        continue
      }
      pages[pfn].references += 1
      pages[pfn].flags.insert(.locked)
      var own = MigratePFN.migrate | MigratePFN.pending
      if pages[pfn].flags.contains(.head) {
        if place + HugePage.pages <= range.count && partMappings(pfn) == 0 {
          own |= MigratePFN.compound
          buffers.compounds.append(place)
        } else if splitLocked(pfn, extra: 1) != nil {
          unlock(index: pfn)
          drop(pfn)
          continue
        }
      }
      arrays[source: place] = MigratePFN(
        rawValue: MigratePFN(PFN(UInt64(pfn))).rawValue | own)
      taken += 1
    }
    buffers.collected = taken
    kernel.trace.record(.migrateSetup, range.start.rawValue, UInt64(range.count))
    if taken > 0 { await unmapPending(buffers) }
    tally.migrationsCollected &+= UInt64(truncatingIfNeeded: buffers.collected)
    kernel.trace.record(
      .migrateCollect, range.start.rawValue, UInt64(range.count), UInt64(buffers.collected))
    return CollectedPages(buffers)
  }
}
