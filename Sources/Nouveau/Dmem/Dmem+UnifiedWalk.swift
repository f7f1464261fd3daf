import Base
import KernelRuntime
import LinuxMM

// Bulk migration by the walk that was proposed in 2025 (docs/api-generations.md). Off unless
// `DmemPolicy.unifiedWalkTries` asks for it.
extension Dmem {
  /// Collects a batch in one walk, as `migrateSetup` does; nil when the process's memory was
  /// invalidated before each try. Each page of the batch then has the reason `notifier-retry`.
  ///
  /// A migration in bulk need not move anything, so it gives up sooner than a fault, which somebody
  /// waits for. Nothing is faulted in: an empty place goes to the device as zeroes, and a page that
  /// is elsewhere stays there.
  ///
  /// LOCKING: `mmapLock` held for reading, which lets faults and reclaim go on.
  /// Kernel: hmm_range_fault with HMM_PFN_REQ_MIGRATE, migrate_hmm_range_setup
  func walk(
    _ svmm: SVMM, _ notifier: IntervalNotifier, _ range: VirtualRange, _ buffers: MigrationBuffers
  ) async throws(KernelError) -> CollectedPages? {
    for _ in 0..<policy.unifiedWalkTries {
      var lookup = UnifiedRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: owner,
        faults: [])
      do throws(KernelError) {
        return await (try await svmm.space.hmmRangeFault(&lookup, buffers)).setup()
      } catch {
        guard error == .EBUSY else { throw error }
        counters.walkRetries += 1
      }
      await kernel.yield()
    }
    return nil
  }
}
