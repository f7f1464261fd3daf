public import Base
import KernelRuntime

/// A range to look up, fault in and prepare for migration (`struct hmm_range` of the RFC, with its
/// `migrate`).
public struct UnifiedRange {
  /// The mirror's subscription; covers ``range``.
  public let notifier: IntervalNotifier
  /// From ``IntervalNotifier/readBegin()``, taken before each try (R52).
  public var sequence: UInt64
  /// Page aligned, inside one mapping.
  public let range: VirtualRange
  /// Whose device pages are one's own (`dev_private_owner`).
  public var owner: PagemapOwner?
  /// What to do for missing pages and rights (`HMM_PFN_REQ_FAULT`, `HMM_PFN_REQ_WRITE`).
  public var faults: UnifiedFault
  /// Which pages to take for migration (`HMM_PFN_REQ_MIGRATE` selects system pages).
  public var select: MigrateSelect
  /// Results, one word a page; all zero after an error.
  public internal(set) var pfns: [UnifiedPFN]

  public init(
    notifier: IntervalNotifier, sequence: UInt64, range: VirtualRange, owner: PagemapOwner?,
    faults: UnifiedFault, select: MigrateSelect = .system
  ) {
    self.notifier = notifier
    self.sequence = sequence
    self.range = range
    self.owner = owner
    self.faults = faults
    self.select = select
    pfns = [UnifiedPFN](repeating: .none, count: range.pages)
  }
}

/// A range after the walk: its pages are locked behind migration entries. ``setup()`` or
/// ``cancel()`` must follow; dropping the value traps.
public struct PreparedMigration: ~Copyable {
  private let buffers: MigrationBuffers
  private let hasPending: Bool
  /// Pages of the range.
  public let count: Int

  init(_ buffers: MigrationBuffers, hasPending: Bool) {
    self.buffers = buffers
    self.hasPending = hasPending
    count = buffers.count
  }

  /// Finishes the collection (`migrate_hmm_range_setup`): isolates, unmaps elsewhere, and hands out
  /// the arrays. From here on everything is as after ``AddressSpace/migrateSetup(_:_:)``.
  public consuming func setup() async -> CollectedPages {
    await buffers.finishPreparing(hasPending)
    return CollectedPages(buffers)
  }

  /// Puts every page back; `reason` is what is kept for each of them: a driver whose mirror was
  /// invalidated since the walk gives ``MigrationReason/Kind/notifierRetry``.
  public consuming func cancel(
    because reason: MigrationReason = MigrationReason(.declined)
  ) async {
    await buffers.takeBack(hasPending, reason)
  }

  deinit {
    invariant(
      buffers.phase != .prepared,
      "a prepared range was dropped before its setup: its pages would stay locked for ever")
  }
}

extension AddressSpace {
  /// Faults a range in and prepares it for migration in one walk (`hmm_range_fault` with
  /// `HMM_PFN_REQ_MIGRATE`).
  ///
  /// - `EBUSY`: the range changed since the sequence was taken: begin again (R52)
  /// - `EFAULT`: a required page can't be had; `EPERM`: it is required writable and isn't
  /// - `ERANGE`: the range lies in no one mapping; `EINVAL`: it is empty, not page aligned, longer
  ///   than `buffers`, or the mapping is special or hugetlb
  ///
  /// After an error nothing is taken and nothing is left locked. The walk's own migrate event may
  /// move the mirror's sequence: results are for the migration, and for pages that stay the mirror
  /// begins again with a plain lookup.
  ///
  /// LOCKING: `mmapLock` held by the caller, to finalize.
  public func hmmRangeFault(
    _ range: inout UnifiedRange, _ buffers: MigrationBuffers
  ) async throws(KernelError) -> PreparedMigration {
    await kernel.point()
    guard !range.range.isEmpty else { throw .EINVAL }
    guard let vma = find(range.range.start), vma.range.contains(range.range) else { throw .ERANGE }
    let isInjected = kernel.failures.fires(.hmmRetry)
    guard !isInjected, !range.notifier.readRetry(range.sequence) else {
      buffers.explainRetry(range.range, who: isInjected ? InjectionPoint.hmmRetry.name : nil)
      throw .EBUSY
    }
    let request = MigrationRequest(range.range, owner: range.owner, select: range.select)
    for place in range.pfns.indices { range.pfns[place] = .none }
    let prepared = try await prepare(vma, request, buffers, range.faults)
    for place in range.pfns.indices {
      range.pfns[place] = UnifiedPFN(buffers.arrays[source: place])
    }
    return prepared
  }

  /// As ``migrateSetup(_:_:)`` in one walk that faults pages in as `faults` says
  /// (`migrate_vma_setup` with `MIGRATE_VMA_FAULT`); without faults it does what that does.
  ///
  /// Errors as there, and `EFAULT` or `EPERM` when a page can't be faulted in; after an error
  /// nothing is taken and nothing is left locked.
  public func migrateSetup(
    _ request: MigrationRequest, _ buffers: MigrationBuffers, faults: UnifiedFault
  ) async throws(KernelError) -> CollectedPages {
    await kernel.point()
    guard request.start < request.end, let vma = find(request.start) else { throw .EINVAL }
    return await (try await prepare(vma, request, buffers, faults)).setup()
  }

  private func prepare(
    _ vma: VMA, _ request: MigrationRequest, _ buffers: MigrationBuffers, _ faults: UnifiedFault
  ) async throws(KernelError) -> PreparedMigration {
    invariant(
      mmapLock.isHeldOrSharedByCurrent, "a unified walk without the mmap lock of \(name) (R56)")
    _ = try checked(request, buffers)
    if vma.flags.contains(.hugetlb) { throw .EINVAL }
    if faults.contains(.write) && !vma.protection.contains(.write) { throw .EPERM }
    if faults.isRequired && vma.protection.isDisjoint(with: [.read, .write]) { throw .EFAULT }
    buffers.begin(self, request)
    buffers.phase = .prepared
    kernel.trace.record(
      .migrateSetup, request.start.rawValue, UInt64(VirtualRange(request.start, request.end).pages))
    var walk = UnifiedWalk(self, vma, request, buffers, faults)
    do throws(KernelError) {
      try await walk.run()
    } catch {
      await buffers.takeBack(walk.hasPending, MigrationReason(.faultFailed, error: error))
      throw error
    }
    return PreparedMigration(buffers, hasPending: walk.hasPending)
  }
}

extension MigrationBuffers {
  func finishPreparing(_ hasPending: Bool) async {
    guard let manager else { invariantFailed("a prepared range without a machine") }
    if hasPending { await manager.unmapPending(self) }
    manager.kernel.trace.record(
      .migrateCollect, start.rawValue, UInt64(count), UInt64(collected))
    phase = .collected
  }

  /// Says of each place of a range that it was invalidated before it could be looked at.
  fileprivate func explainRetry(_ range: VirtualRange, who: String?) {
    guard let reasons, range.pages <= capacity else { return }
    reasons.begin(range.pages)
    for place in 0..<range.pages { reasons.note(place, MigrationReason(.notifierRetry, who: who)) }
  }

  /// Puts every page of a prepared range back.
  func takeBack(_ hasPending: Bool, _ reason: MigrationReason) async {
    await finishPreparing(hasPending)
    refuseAll(reason)
    finalize()
  }
}
