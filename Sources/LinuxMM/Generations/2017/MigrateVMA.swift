public import Base
import KernelRuntime

/// What a driver does in a migration of 2017 (`struct migrate_vma_ops`).
///
/// `Private` is what the driver hands from one callback to the next (`void *private`).
public struct MigrateVMAOperations<Private> {
  /// Allocates destinations and copies, for every source that migrates. Sources are read-only; a
  /// destination is ``FirstMigratePFN/destination(_:)``, or stays empty to decline, or is
  /// ``FirstMigratePFN/failed`` for a device page that can't come back.
  public var allocateAndCopy:
    (
      _ vma: VMA, _ sources: [FirstMigratePFN], _ destinations: inout [FirstMigratePFN],
      _ range: VirtualRange, _ private: inout Private
    ) async -> Void
  /// Looks at what moved (its source still migrates), cleans up, updates the device's tables: both
  /// pages are still locked. Nothing of the arrays may be changed any more.
  public var finalizeAndMap:
    (
      _ vma: VMA, _ sources: [FirstMigratePFN], _ destinations: [FirstMigratePFN],
      _ range: VirtualRange, _ private: inout Private
    ) async -> Void

  public init(
    allocateAndCopy:
      @escaping (
        VMA, [FirstMigratePFN], inout [FirstMigratePFN], VirtualRange, inout Private
      ) async -> Void,
    finalizeAndMap:
      @escaping (
        VMA, [FirstMigratePFN], [FirstMigratePFN], VirtualRange, inout Private
      ) async -> Void
  ) {
    self.allocateAndCopy = allocateAndCopy
    self.finalizeAndMap = finalizeAndMap
  }
}

extension AddressSpace {
  /// Migrates a range with callbacks (`migrate_vma` of 2017): one call that collects, calls
  /// `allocateAndCopy`, commits, calls `finalizeAndMap`, and maps the winners.
  ///
  /// As the text has it, and unlike later forms:
  /// - ends that aren't page aligned are rounded down, which is no error;
  /// - empty places and the zero page don't take part;
  /// - there is neither a selection nor an owner: whatever lies in the range is taken, pages of
  ///   other drivers' devices too, and a mirror can't tell the event from others';
  /// - when nothing can migrate the callbacks aren't called.
  ///
  /// The text's code waits for page locks; here they are tried, as in every form since (R21). Its
  /// walk skips device pages although its words speak of them; here they are taken.
  ///
  /// `EINVAL`, with nothing changed: no mapping, a special or hugetlb mapping, an end outside of
  /// it, an empty range, or an array without room for every page (R1). A fault's own page is
  /// `faultPage`, for which the text has no word: its faults didn't lock the page.
  ///
  /// LOCKING: `mmapLock` held by the caller (`mmap_sem`).
  public func migrateVMA<Private>(
    _ operations: MigrateVMAOperations<Private>, _ vma: VMA?, start: VirtualAddress,
    end: VirtualAddress, sources: inout [FirstMigratePFN],
    destinations: inout [FirstMigratePFN], private: inout Private, faultPage: PFN? = nil
  ) async throws(KernelError) {
    let start = start.pageBase
    let end = end.pageBase
    guard let vma, vma.space === self, !vma.isSpecial, !vma.flags.contains(.hugetlb) else {
      throw .EINVAL
    }
    guard start < end, start >= vma.start, end <= vma.end else { throw .EINVAL }
    let range = VirtualRange(start, end)
    guard sources.count >= range.pages, destinations.count >= range.pages else { throw .EINVAL }
    let pages = try await migrateSetup(
      MigrationRequest(
        range, owner: nil, select: [.system, .devicePrivate, .anyOwner], faultPage: faultPage),
      MigrationBuffers(pages: range.pages))
    var taken = 0
    for place in 0..<range.pages {
      // A place without a page has no source in this form.
      sources[place] = pages[source: place].isValid ? FirstMigratePFN(pages[source: place]) : .empty
      destinations[place] = .empty
      if sources[place].migrates { taken += 1 }
    }
    guard taken > 0 else {
      pages.abandon()
      return
    }
    await operations.allocateAndCopy(vma, sources, &destinations, range, &`private`)
    pages.takeDestinations(destinations, of: sources)
    let committed = await pages.commit()
    for place in 0..<range.pages where !committed[source: place].migrates {
      sources[place] = sources[place].refused
    }
    await operations.finalizeAndMap(vma, sources, destinations, range, &`private`)
    committed.finalize()
  }
}

extension FirstMigratePFN {
  /// The word of a page that stayed.
  var refused: FirstMigratePFN { FirstMigratePFN(rawValue: rawValue & ~Self.migrate) }
}
