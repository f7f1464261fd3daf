package import Base
import KernelRuntime
package import LinuxMM

extension Dmem {
  /// Brings back what of a range lives on this device, in batches, without waiting for a CPU to
  /// touch it; the number of pages. What can't come now (held by others) stays.
  ///
  /// As the bulk path to the device: the next batch is collected while one is copied, and nothing
  /// is committed before its fence. Throws `EINVAL` for a range that is empty, unaligned or not
  /// wholly mapped, and the error of a batch whose copies failed; its pages are still on the
  /// device.
  ///
  /// LOCKING: takes the mmap lock for reading. Kernel: none; nouveau brings pages back one by one
  package func migrateToRAM(
    _ space: AddressSpace, _ range: VirtualRange
  ) async throws(KernelError) -> Int {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    try await beginOperation()
    defer { endOperation() }
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    let parts = try mappedParts(of: range, in: space)
    var moved = 0
    var failure: KernelError?
    var inFlight: ReturningBatch?
    for batch in batches(of: parts) where failure == nil {
      do throws(KernelError) {
        let started = try await beginReturn(space, batch)
        if let previous = inFlight.take() { await finishReturn(previous, &moved, &failure) }
        inFlight = consume started
      } catch {
        failure = failure ?? error
      }
      if policy.batchesInFlight == 1, let batch = inFlight.take() {
        await finishReturn(batch, &moved, &failure)
      }
    }
    if let last = inFlight.take() { await finishReturn(last, &moved, &failure) }
    if let failure { throw failure }
    return moved
  }

  private func beginReturn(
    _ space: AddressSpace, _ range: VirtualRange
  ) async throws(KernelError) -> ReturningBatch {
    let start = kernel.now
    let scratch = takeScratch()
    let request = MigrationRequest(range, owner: owner, select: selectionBack)
    let pages: CollectedPages
    do throws(KernelError) {
      pages = try await space.migrateSetup(request, scratch.buffers)
    } catch {
      spareScratch.append(scratch)
      throw error
    }
    var fence: NouveauFence?
    var failure: KernelError?
    if pages.collected > 0 {
      await stopDeviceAccess(of: space, range)
      await mm.makeRoom(pages: pagesWanted(pages.collected))
      var index = 0
      while index < pages.count {
        do throws(KernelError) {
          index += try planToRAM(from: index, pages, scratch)
        } catch {
          failure = error
          break
        }
      }
      if !scratch.plan.isEmpty {
        do throws(KernelError) {
          fence = try await submit(scratch)
        } catch {
          dropAllDestinations(pages, scratch)
          failure = error
        }
      }
    }
    return ReturningBatch(
      pages: pages, scratch: scratch, fence: fence, failure: failure, range: range, start: start)
  }

  private func finishReturn(
    _ batch: consuming ReturningBatch, _ moved: inout Int, _ failure: inout KernelError?
  ) async {
    let scratch = batch.scratch
    let fence = batch.fence
    let range = batch.range
    let start = batch.start
    failure = failure ?? batch.failure
    let pages = batch.pages
    if let fence, let error = await waitForCopies(fence, scratch) {
      counters.copyFailures += UInt64(scratch.plan.pages)
      kernel.trace.record(.dmemCopyFailed, range.start.rawValue, UInt64(error.errno))
      failure = failure ?? error
      dropAllDestinations(pages, scratch)
    }
    unmapAll(scratch)
    let committed = await pages.commit()
    let count = movedPages(committed)
    committed.finalize()
    counters.toRAM += UInt64(count)
    moved += count
    kernel.trace.span(
      .dmemBatch, since: start, range.start.rawValue, UInt64(range.pages), UInt64(count))
    spareScratch.append(scratch)
  }
}

/// A batch on its way back.
private struct ReturningBatch: ~Copyable {
  let pages: CollectedPages
  let scratch: MigrationScratch
  /// Nil when nothing is being copied.
  let fence: NouveauFence?
  /// Why pages of the batch stay.
  let failure: KernelError?
  let range: VirtualRange
  let start: UInt64
}
