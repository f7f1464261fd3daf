public import Base
public import KernelRuntime

/// The steps of a migration as the document of 2020 counts them ("mm/doc: add usage description
/// for migrate_vma_*()").
public enum MigrationStep: Int, CaseIterable, Sendable {
  /// 1. `mmap_read_lock()`
  case lock = 1
  /// 2. `migrate_vma_setup()`
  case setup
  /// 3. The driver allocates destinations and copies.
  case copy
  /// 4. `migrate_vma_pages()`
  case commit
  /// 5. The driver updates the device's tables for what still migrates, and rolls back the rest.
  case map
  /// 6. `migrate_vma_finalize()`
  case finalize
  /// 7. `mmap_read_unlock()`
  case unlock

  /// The event that the step leaves in the trace when it is done.
  public var event: TraceKind {
    switch self {
    case .lock: .mmapReadLock
    case .setup: .migrateCollect
    case .copy: .driverCopied
    case .commit: .migrateCommit
    case .map: .driverMapped
    case .finalize: .migrateFinalize
    case .unlock: .mmapReadUnlock
    }
  }
}

extension TraceKind {
  /// A migration's driver has the mmap lock for reading.
  public static let mmapReadLock = TraceKind("mmap_read_lock", ["start", "pages"])
  /// It gave it back.
  public static let mmapReadUnlock = TraceKind("mmap_read_unlock", ["start", "pages"])
  /// The driver's copies of a migration are complete.
  public static let driverCopied = TraceKind("driver_copied", ["start", "pages"])
  /// The driver's device has its new translations.
  public static let driverMapped = TraceKind("driver_mapped", ["start", "pages"])
}

extension AddressSpace {
  /// A migration in the document's seven steps, the lock included.
  ///
  /// `copy` is step 3: it sets destinations and returns when the copies are complete. `map` is step
  /// 5. When `copy` throws, the migration is abandoned and the lock given back; the error goes on.
  ///
  /// The selection and the owner are the request's: device pages are taken only if they are the
  /// owner's, and the owner is what a mirror's callback compares to let its own migrations pass.
  ///
  /// Errors as ``migrateSetup(_:_:)``. LOCKING: takes `mmapLock` for reading.
  public func migrateInSevenSteps<R>(
    _ request: MigrationRequest, _ buffers: MigrationBuffers,
    copy: (borrowing CollectedPages) async throws(KernelError) -> R,
    map: (borrowing CommittedPages, R) async -> Void
  ) async throws(KernelError) -> R {
    let trace = kernel.trace
    let start = request.start.rawValue
    let pages = request.start < request.end ? VirtualRange(request.start, request.end).pages : 0
    await mmapLock.lockShared()
    trace.record(.mmapReadLock, start, UInt64(pages))
    defer {
      mmapLock.unlockShared()
      trace.record(.mmapReadUnlock, start, UInt64(pages))
    }
    return try await withMigration(request, buffers) { collected throws(KernelError) in
      let result = try await copy(collected)
      trace.record(.driverCopied, start, UInt64(pages))
      return result
    } committed: { committed, result in
      await map(committed, result)
      trace.record(.driverMapped, start, UInt64(pages))
    }
  }
}
