public import Base
import DeviceSeam
import KernelRuntime
public import LinuxMM

/// What a bulk migration did, in pages.
public struct MigrationResult: Hashable, Sendable {
  /// Asked for.
  public var requested = 0
  /// Where they were to go now because of this call.
  public var moved = 0
  /// Left where they were: pinned, locked, on the device already, refused, or no device page free.
  public var skipped: Int { requested - moved }
  /// The first error that kept a batch from being copied; its pages are intact where they were.
  public var error: KernelError?
  /// What came from other GPUs; of it, ``moved`` counts what was copied directly.
  public var fetched = FetchedPages()
  /// Huge pages that went as base pages although the policy keeps them whole, and why.
  public var split: [StayedRange] = []
  /// Why the skipped pages stayed, by address; empty unless the caller asked.
  public var stayed: [StayedRange] = []

  public init() {}
}

/// A batch that has been collected and whose copies are under way.
struct BatchInFlight: ~Copyable {
  let pages: CollectedPages
  let scratch: MigrationScratch
  /// Nil when nothing had to be copied, or the copies couldn't be submitted.
  let fence: NouveauFence?
  let submitError: KernelError?
  let arrival: Arrival
  let start: UInt64

  var range: VirtualRange { arrival.range }
}

extension Dmem {
  /// Moves what can be moved of `range` to the device.
  ///
  /// Works in batches. While one is being copied the next is collected; each is committed only
  /// after its own fence. Pages that can't move stay, which is no error; a batch whose copies fail
  /// stays whole, and the result names the error. Throws `EINVAL` for a range that is empty,
  /// unaligned or not wholly mapped, and what the core says of mappings that can't migrate;
  /// `ENODEV` when the process closes the device or the driver leaves it asleep. With `explains`
  /// the result says of each page that stayed why it did.
  ///
  /// LOCKING: takes the mmap lock for reading, then the svmm mutex.
  /// Kernel: nouveau_dmem_migrate_vma
  package func migrateToDevice(
    _ svmm: SVMM, _ range: VirtualRange, explains: Bool = false
  ) async throws(KernelError) -> MigrationResult {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    guard !svmm.isLeaving else { throw .ENODEV }
    svmm.beginWork()
    defer { svmm.endWork() }
    let space = svmm.space
    try await beginOperation(locking: space)
    defer { endOperation() }
    kernel.trace.record(.mmapReadLock, range.start.rawValue, UInt64(range.pages))
    defer {
      space.mmapLock.unlockShared()
      kernel.trace.record(.mmapReadUnlock, range.start.rawValue, UInt64(range.pages))
    }
    let parts = try mappedParts(of: range, in: space)
    var result = MigrationResult()
    result.requested = range.pages

    var inFlight: BatchInFlight?
    for batch in batches(of: parts) {
      guard result.error == nil else {
        if explains { result.stayed.append(batch, MigrationReason(.notTried)) }
        continue
      }
      do throws(KernelError) {
        // No chunk is made while a batch's pages are locked: making one could wait for memory.
        if mayNeedChunk(for: batch, of: space), let previous = inFlight.take() {
          await finish(previous, svmm, &result)
        }
        let started = try await start(svmm, batch, explains: explains, &result)
        if let previous = inFlight.take() { await finish(previous, svmm, &result) }
        inFlight = started
      } catch {
        if let previous = inFlight.take() { await finish(previous, svmm, &result) }
        // A refusal of the first batch is an answer to the caller's arguments; a later one ends a
        // migration that has moved pages, and the result says how many.
        if batch.start == range.start { throw error }
        result.error = result.error ?? error
        if explains { result.stayed.append(batch, MigrationReason(.declined, error: error)) }
      }
      if policy.batchesInFlight == 1, let batch = inFlight.take() {
        await finish(batch, svmm, &result)
      }
    }
    if let last = inFlight.take() { await finish(last, svmm, &result) }
    counters.skipped += UInt64(result.skipped)
    return result
  }

  /// The parts cut into batches. The end follows the start in every turn and never passes the part
  /// (bugs.md N01: only the first chunk of a range moved; N02: the last one moved too much).
  func batches(of parts: [VirtualRange]) -> [VirtualRange] {
    let step = UInt64(policy.batchPages * PageSize.bytes)
    #if DEBUG
      if defect == .chunkEndWrong {
        return parts.map { VirtualRange($0.start, min($0.start + step, $0.end)) }
      }
    #endif
    if policy.hugeFolios { return blocks(of: parts) }
    return parts.flatMap { part in
      stride(from: part.start.rawValue, to: part.end.rawValue, by: Int(step)).map { start in
        VirtualRange(
          VirtualAddress(start), VirtualAddress(min(start + step, part.end.rawValue)))
      }
    }
  }

  /// The range cut at the borders of its mappings; `EINVAL` when a part isn't mapped. Checked
  /// before anything moves, so that a bad range changes nothing.
  func mappedParts(
    of range: VirtualRange, in space: AddressSpace
  ) throws(KernelError) -> [VirtualRange] {
    var parts: [VirtualRange] = []
    var next = range.start
    while next < range.end {
      guard let area = space.find(next) else { throw .EINVAL }
      let end = min(area.range.end, range.end)
      parts.append(VirtualRange(next, end))
      next = end
    }
    return parts
  }

  private func start(
    _ svmm: SVMM, _ range: VirtualRange, explains: Bool, _ result: inout MigrationResult
  ) async throws(KernelError) -> BatchInFlight? {
    if policy.hugeFolios,
      let whole = try await beginWhole(svmm, range, explains: explains, &result)
    {
      return whole
    }
    return try await begin(svmm, range, explains: explains, &result)
  }

  /// Collects a batch and starts its copies; nil when its range changes too often for a unified
  /// walk. Kernel: nouveau_dmem_migrate_chunk, first half
  private func begin(
    _ svmm: SVMM, _ range: VirtualRange, explains: Bool, _ result: inout MigrationResult
  ) async throws(KernelError) -> BatchInFlight? {
    let start = kernel.now
    let count = range.pages
    var reservation = await reserve(count)
    let scratch = takeScratch()
    scratch.buffers.explains = explains
    let arrival = await svmm.expect(range, of: owner)
    let collected: CollectedPages?
    do throws(KernelError) {
      collected = try await collect(svmm, range, scratch.buffers)
    } catch {
      svmm.forget(arrival)
      release(reservation)
      spareScratch.append(scratch)
      throw error
    }
    guard let pages = collected else {
      svmm.forget(arrival)
      release(reservation)
      noteStayed(range, scratch, &result)
      spareScratch.append(scratch)
      return nil
    }
    var fence: NouveauFence?
    var submitError: KernelError?
    if pages.collected > 0 {
      await svmm.unmap(range)
      planPagesToDevice(pages, scratch, &reservation)
      if !scratch.plan.isEmpty {
        do throws(KernelError) {
          fence = try await submit(scratch)
        } catch {
          submitError = error
        }
      }
    }
    release(reservation)
    return BatchInFlight(
      pages: pages, scratch: scratch, fence: fence, submitError: submitError,
      arrival: arrival, start: start)
  }

  private func collect(
    _ svmm: SVMM, _ range: VirtualRange, _ buffers: MigrationBuffers
  ) async throws(KernelError) -> CollectedPages? {
    if policy.unifiedWalkTries > 0, let notifier = svmm.notifier {
      return try await walk(svmm, notifier, range, buffers)
    }
    let request = MigrationRequest(range, owner: owner, select: .system)
    return try await svmm.space.migrateSetup(request, buffers)
  }

  /// Gives each migrating page a device page and plans its copy, or its clearing when the process
  /// never wrote it. Kernel: nouveau_dmem_migrate_copy_one, over a batch
  private func planPagesToDevice(
    _ pages: borrowing CollectedPages, _ scratch: MigrationScratch,
    _ reservation: inout DevicePageReservation
  ) {
    let dma = device.pci.dma
    var index = 0
    while index < pages.count {
      let source = pages[source: index]
      guard source.migrates else {
        index += 1
        continue
      }
      let wanted = sourceRun(pages, from: index)
      guard let (taken, chunk) = takePages(&reservation, upTo: wanted) else {
        for left in index..<pages.count { pages.explain(left, MigrationReason(.noDeviceMemory)) }
        return
      }
      let first = index
      index += taken.count
      let address = CopyAddress.vram(chunk.address(of: taken.start))
      if let frame = source.pfn {
        do throws(KernelError) {
          let mapped = try dma.map(frame, count: taken.count, .toDevice)
          scratch.add(mapped, pages: taken.count, .toDevice)
          scratch.plan.add(from: .host(mapped), to: address, pages: taken.count)
        } catch {
          // These pages stay in RAM; the others go on.
          for step in 0..<taken.count {
            dropPage(taken.start + step)
            pages.explain(first + step, MigrationReason(.notMappedForDevice, error: error))
          }
          continue
        }
      } else {
        // A hole or the zero page has no source: clear (bugs.md N10).
        scratch.plan.add(from: nil, to: address, pages: taken.count)
      }
      pages.setDestinations(first, taken)
    }
  }

  /// How many places from `index` on can be handled as one: they migrate, and their sources lie in
  /// a row, or are all empty. One while a failure is armed, so that it strikes exactly one page.
  func sourceRun(_ pages: borrowing CollectedPages, from index: Int) -> Int {
    guard kernel.failures.isQuiet else { return 1 }
    let first = pages[source: index].pfn
    var count = 1
    while index + count < pages.count {
      let next = pages[source: index + count]
      guard next.migrates else { break }
      if let first {
        guard next.pfn == first + count else { break }
      } else if next.isValid {
        break
      }
      count += 1
    }
    return count
  }

  /// Waits for a batch's copies, commits what was copied, maps it on the GPU and finalizes.
  /// Kernel: nouveau_dmem_migrate_chunk, second half
  private func finish(
    _ batch: consuming BatchInFlight, _ svmm: SVMM, _ result: inout MigrationResult
  ) async {
    let scratch = batch.scratch
    let arrival = batch.arrival
    let range = arrival.range
    let start = batch.start
    let fence = batch.fence
    var error = batch.submitError
    let pages = batch.pages
    if let fence { error = await waitForCopies(fence, scratch) }
    if let error {
      counters.copyFailures += UInt64(scratch.plan.pages)
      kernel.trace.record(.dmemCopyFailed, range.start.rawValue, UInt64(error.errno))
      if result.error == nil { result.error = error }
      svmm.forget(arrival)
      dropAllDestinations(pages, scratch)
      pages.abandon(because: MigrationReason(.copyFailed, error: error))
      noteStayed(range, scratch, &result)
      spareScratch.append(scratch)
      return
    }
    unmapAll(scratch)
    let committed = await pages.commit()
    if policy.hugeFolios, committed[source: 0].isCompound, committed[source: 0].migrates {
      counters.hugeToDevice += 1
    }
    let moved = await svmm.map(committed, arrival, dmem: self)
    counters.toDevice += UInt64(moved.pages)
    counters.cleared += UInt64(moved.withoutSource)
    result.moved += moved.pages
    committed.finalize()
    noteStayed(range, scratch, &result)
    kernel.trace.span(
      .dmemBatch, since: start, range.start.rawValue, UInt64(range.pages), UInt64(moved.pages))
    spareScratch.append(scratch)
  }

  /// Adds the reasons of the pages that stayed; that of a huge page stands at its first.
  private func noteStayed(
    _ range: VirtualRange, _ scratch: MigrationScratch, _ result: inout MigrationResult
  ) {
    if policy.hugeFolios, scratch.isWhole, let reason = scratch.buffers.reason(0) {
      result.stayed.append(range, reason)
    } else {
      result.stayed.append(range.start, scratch.buffers, pages: range.pages)
    }
  }
}
