public import Base

/// A range after collection (`migrate_vma_setup`): pages are locked, unmapped and isolated.
///
/// The driver reads sources, copies, and writes destinations; then ``commit()`` or ``abandon()``.
/// One of the two must be called (R19): dropping the value traps.
public struct CollectedPages: ~Copyable {
  let buffers: MigrationBuffers
  @usableFromInline let arrays: MigrationArrays
  /// Pages of the range (`npages`).
  public let count: Int
  /// Places that could migrate at setup (`cpages`).
  public let collected: Int

  init(_ buffers: MigrationBuffers) {
    self.buffers = buffers
    arrays = buffers.shownArrays
    count = buffers.count
    collected = buffers.collected
  }

  /// The source of page `i`; only those that migrate count (R8). Not writable (R2).
  @inlinable
  public subscript(source i: Int) -> MigratePFN { arrays[source: i].shown }

  /// Where page `i` shall go: a locked page that the driver owns a reference of (R13), or
  /// ``MigratePFN/empty`` to leave the page in its place (R9).
  @inlinable
  public subscript(destination i: Int) -> MigratePFN {
    get { arrays[destination: i] }
    nonmutating set { arrays[destination: i] = newValue }
  }

  /// Pages in a row as the destinations of the places from `first` on.
  @inlinable
  public func setDestinations(_ first: Int, _ range: PFNRange) {
    for step in 0..<range.count {
      arrays[destination: first + step] = MigratePFN(range.start + UInt64(step))
    }
  }

  /// Moves each page that has a destination (`migrate_vma_pages`).
  ///
  /// A page can still be refused: its source then no longer `migrates` (R14). Sleeps in notifiers
  /// when empty places are filled.
  public consuming func commit() async -> CommittedPages {
    await buffers.commit()
    return CommittedPages(buffers)
  }

  /// Gives up: every page keeps its old place. Destinations still set are unlocked and put, as
  /// `migrate_vma_finalize` does for a page that didn't migrate. `reason` is what is kept for each
  /// of them.
  public consuming func abandon(because reason: MigrationReason = MigrationReason(.declined)) {
    buffers.refuseAll(reason)
    buffers.finalize()
  }

  deinit {
    invariant(
      buffers.phase != .collected,
      "a migration was dropped between setup and finalize: its pages would stay locked for ever")
  }
}

/// A range after the commit (`migrate_vma_pages`): `source[i].migrates` says which pages moved.
///
/// Both pages of each place are still locked, so the driver updates the device's tables now (R16),
/// then calls ``finalize()``; dropping the value traps.
public struct CommittedPages: ~Copyable {
  let buffers: MigrationBuffers
  @usableFromInline let arrays: MigrationArrays
  /// Pages of the range (`npages`).
  public let count: Int
  /// Places that could migrate at setup (`cpages`).
  public let collected: Int

  init(_ buffers: MigrationBuffers) {
    self.buffers = buffers
    arrays = buffers.shownArrays
    count = buffers.count
    collected = buffers.collected
  }

  /// The source of page `i`; `migrates` when it moved.
  @inlinable
  public subscript(source i: Int) -> MigratePFN { arrays[source: i].shown }
  /// The destination of page `i`; not writable after the commit (R3).
  @inlinable
  public subscript(destination i: Int) -> MigratePFN { arrays[destination: i] }

  /// Maps the winner of each place, unlocks both pages and drops both references
  /// (`migrate_vma_finalize`).
  public consuming func finalize() {
    buffers.finalize()
  }

  deinit {
    invariant(
      buffers.phase != .committed,
      "a migration was dropped between commit and finalize: its pages would stay locked for ever")
  }
}

extension AddressSpace {
  /// Runs a migration that finalizes on every path.
  ///
  /// `copy` sets the destinations; when it throws, the migration is abandoned and the error goes
  /// on. `committed` updates the device's tables for the pages that moved.
  ///
  /// LOCKING: `mmapLock` held by the caller, for reading or writing.
  public func withMigration<R>(
    _ request: MigrationRequest, _ buffers: MigrationBuffers,
    copy: (borrowing CollectedPages) async throws(KernelError) -> R,
    committed: (borrowing CommittedPages, R) async -> Void
  ) async throws(KernelError) -> R {
    let pages = try await migrateSetup(request, buffers)
    let result: R
    do throws(KernelError) {
      result = try await copy(pages)
    } catch {
      pages.abandon()
      throw error
    }
    let moved = await pages.commit()
    await committed(moved, result)
    moved.finalize()
    return result
  }
}
