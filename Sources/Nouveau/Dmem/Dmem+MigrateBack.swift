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
    let result = try await bringToRAM(space, range)
    if let error = result.error { throw error }
    return result.moved
  }

  /// As ``migrateToRAM(_:_:)``; the result has the error of a batch whose copies failed, and with
  /// `explains` it says of each page that stayed why it did.
  package func bringToRAM(
    _ space: AddressSpace, _ range: VirtualRange, explains: Bool = false
  ) async throws(KernelError) -> MigrationResult {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    try await beginOperation(locking: space)
    defer { endOperation() }
    defer { space.mmapLock.unlockShared() }
    let parts = try mappedParts(of: range, in: space)
    var result = MigrationResult()
    result.requested = range.pages
    var inFlight: ReturningBatch?
    for batch in batches(of: parts) {
      guard result.error == nil else {
        if explains { result.stayed.append(batch, MigrationReason(.notTried)) }
        continue
      }
      do throws(KernelError) {
        let started = try await beginReturn(space, batch, explains: explains)
        if let previous = inFlight.take() { await finishReturn(previous, &result) }
        inFlight = consume started
      } catch {
        result.error = result.error ?? error
        if explains { result.stayed.append(batch, MigrationReason(.declined, error: error)) }
      }
      if policy.batchesInFlight == 1, let batch = inFlight.take() {
        await finishReturn(batch, &result)
      }
    }
    if let last = inFlight.take() { await finishReturn(last, &result) }
    // A batch in flight may have ended behind one that was not tried.
    result.stayed.sort { $0.range.start < $1.range.start }
    return result
  }

  private func beginReturn(
    _ space: AddressSpace, _ range: VirtualRange, explains: Bool
  ) async throws(KernelError) -> ReturningBatch {
    let start = kernel.now
    let scratch = takeScratch()
    scratch.buffers.explains = explains
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
      pages.explainEmptyPlaces()
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
          pages.explain(from: 0, MigrationReason(.copyFailed, error: error))
          failure = error
        }
      }
    }
    return ReturningBatch(
      pages: pages, scratch: scratch, fence: fence, failure: failure, range: range, start: start)
  }

  private func finishReturn(
    _ batch: consuming ReturningBatch, _ result: inout MigrationResult
  ) async {
    let scratch = batch.scratch
    let fence = batch.fence
    let range = batch.range
    let start = batch.start
    result.error = result.error ?? batch.failure
    let pages = batch.pages
    if let fence, let error = await waitForCopies(fence, scratch) {
      counters.copyFailures += UInt64(scratch.plan.pages)
      kernel.trace.record(.dmemCopyFailed, range.start.rawValue, UInt64(error.errno))
      result.error = result.error ?? error
      dropAllDestinations(pages, scratch)
      pages.explain(from: 0, MigrationReason(.copyFailed, error: error))
    }
    unmapAll(scratch)
    let committed = await pages.commit()
    let count = movedPages(committed)
    committed.finalize()
    counters.toRAM += UInt64(count)
    result.moved += count
    if scratch.buffers.explains {
      result.stayed.append(range.start, scratch.buffers, pages: range.pages)
    }
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
