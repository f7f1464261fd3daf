import Base
import DeviceSeam
import KernelRuntime
import LinuxMM

// Huge pages that stay whole on the device: a rule set merged after Linux 6.12, which splits them
// (docs/huge-pages.md). Off unless `DmemPolicy.hugeFolios` asks for it.
//
// A chunk is 2 MiB and aligned, so a huge page takes a whole chunk, and one launch copies it. Where
// no chunk is empty and none can be made, the block goes as base pages.
extension Dmem {
  /// The parts cut at borders of 2 MiB: a batch is a whole block, or lies within one.
  func blocks(of parts: [VirtualRange]) -> [VirtualRange] {
    parts.flatMap { part -> [VirtualRange] in
      var blocks: [VirtualRange] = []
      var start = part.start
      while start < part.end {
        let border = VirtualAddress(
          (start.rawValue & ~UInt64(PageSize.hugeBytes - 1)) + UInt64(PageSize.hugeBytes))
        blocks.append(VirtualRange(start, min(border, part.end)))
        start = border
      }
      return blocks
    }
  }

  /// Whether a batch may need a chunk that has to be made first.
  func mayNeedChunk(for batch: VirtualRange, of space: AddressSpace) -> Bool {
    if !canReserve(batch.pages) { return true }
    return policy.hugeFolios && isWholeBlock(batch, of: space) && emptyChunk == nil
  }

  /// 2 MiB that one entry maps in RAM, or the huge zero page.
  private func isWholeBlock(_ range: VirtualRange, of space: AddressSpace) -> Bool {
    range.pages == DmemChunk.pages && space.isMappedHuge(range.start)
      && space.entry(at: range.start).isPresent
  }

  /// A chunk without a page in use whose pages nobody was promised.
  private var emptyChunk: DmemChunk? {
    guard canReserve(DmemChunk.pages) else { return nil }
    return chunks.first { $0.inUse == 0 && !$0.isClosing }
  }

  /// Takes all pages of one chunk, which is made when none is empty; nil when none can be had.
  private func takeWholeChunk() async -> DmemChunk? {
    while !isClosed {
      let taken = lock.withLock { () -> DmemChunk? in
        guard let chunk = emptyChunk, chunk.takeRun(upTo: DmemChunk.pages) != nil else {
          return nil
        }
        // A run ends at a word's border at times; the rest of an empty chunk follows.
        while chunk.takeRun(upTo: DmemChunk.pages) != nil {}
        freePages -= DmemChunk.pages
        return chunk
      }
      if let taken { return taken }
      guard await makeChunk() else { return nil }
    }
    return nil
  }

  /// Starts a block that is one huge page as one; nil when it has to go another way, and nothing is
  /// changed then. That it is split for want of a whole chunk, the result says.
  func beginWhole(
    _ svmm: SVMM, _ range: VirtualRange, explains: Bool, _ result: inout MigrationResult
  ) async throws(KernelError) -> BatchInFlight? {
    guard isWholeBlock(range, of: svmm.space) else { return nil }
    let start = kernel.now
    guard let chunk = await takeWholeChunk() else {
      counters.hugeSplits += 1
      result.split.append(StayedRange(range, MigrationReason(.noDeviceMemory)))
      return nil
    }
    let scratch = takeScratch()
    scratch.buffers.explains = explains
    scratch.isWhole = true
    let request = MigrationRequest(range, owner: owner, select: [.system, .compound])
    let arrival = await svmm.expect(range, of: owner)
    let pages: CollectedPages
    do throws(KernelError) {
      pages = try await svmm.space.migrateSetup(request, scratch.buffers)
    } catch {
      svmm.forget(arrival)
      pagesFree(chunk.range)
      spareScratch.append(scratch)
      throw error
    }
    guard pages.collected > 0, pages[source: 0].isCompound, pages[source: 0].migrates else {
      // It was split meanwhile, or can't be taken as one.
      svmm.forget(arrival)
      pages.abandon()
      pagesFree(chunk.range)
      spareScratch.append(scratch)
      return nil
    }
    await svmm.unmap(range)
    mm.initDeviceFolio(chunk.range.start)
    var fence: NouveauFence?
    var submitError: KernelError?
    if planWhole(pages, chunk, scratch) {
      do throws(KernelError) {
        fence = try await submit(scratch)
      } catch {
        submitError = error
      }
    }
    return BatchInFlight(
      pages: pages, scratch: scratch, fence: fence, submitError: submitError,
      arrival: arrival, start: start)
  }

  /// Plans the copy or the clearing of a whole block; false when it could not be mapped.
  private func planWhole(
    _ pages: borrowing CollectedPages, _ chunk: DmemChunk, _ scratch: MigrationScratch
  ) -> Bool {
    let head = chunk.range.start
    var from: CopyAddress?
    if let frame = pages[source: 0].pfn {
      do throws(KernelError) {
        from = .host(try mapWhole(frame, .toDevice, scratch))
      } catch {
        dropPage(head)
        pages.explain(0, MigrationReason(.notMappedForDevice, error: error))
        return false
      }
    }
    scratch.plan.add(from: from, to: .vram(chunk.address(of: head)), pages: DmemChunk.pages)
    pages[destination: 0] = MigratePFN(huge: head)
    return true
  }

  /// Maps 512 pages in a row for the device; on an error none is. The migration has no others.
  private func mapWhole(
    _ first: PFN, _ direction: DMADirection, _ scratch: MigrationScratch
  ) throws(KernelError) -> DMAAddress {
    let dma = device.pci.dma
    guard !kernel.failures.isQuiet else {
      let address = try dma.map(first, count: DmemChunk.pages, direction)
      scratch.add(address, pages: DmemChunk.pages, direction)
      return address
    }
    // One by one, so that an armed failure strikes exactly one page.
    do throws(KernelError) {
      let address = try dma.map(first, direction)
      scratch.add(address, pages: 1, direction)
      for page in 1..<DmemChunk.pages {
        scratch.add(try dma.map(first + page, direction), pages: 1, direction)
      }
      return address
    } catch {
      unmapAll(scratch)
      throw error
    }
  }

  // MARK: back

  /// The aligned 2 MiB around an address.
  func hugeBlock(around address: VirtualAddress) -> VirtualRange {
    let base = address.rawValue & ~UInt64(PageSize.hugeBytes - 1)
    return VirtualRange(start: VirtualAddress(base), pages: DmemChunk.pages)
  }

  /// What migrations to RAM select.
  var selectionBack: MigrateSelect {
    policy.hugeFolios ? [.devicePrivate, .compound] : .devicePrivate
  }

  /// Makes a huge page of RAM the destination of a huge device page, or 512 base pages when there
  /// is none: the core splits the source then. At least the page at `wanted` gets a destination;
  /// on an error nothing is left. The migration has no other pages.
  func planWholeToRAM(
    _ pages: borrowing CollectedPages, _ source: PFN, _ chunk: DmemChunk,
    _ scratch: MigrationScratch
  ) throws(KernelError) {
    guard let head = try? mm.allocateHugePage() else {
      return try planPartsToRAM(pages, source, chunk, scratch)
    }
    invariant(mm.tryLock(head), "a new huge page is locked")
    do throws(KernelError) {
      let address = try mapWhole(head, .fromDevice, scratch)
      scratch.plan.add(
        from: .vram(chunk.address(of: source)), to: .host(address), pages: DmemChunk.pages)
      pages[destination: 0] = MigratePFN(huge: head)
    } catch {
      mm.unlock(head)
      mm.put(head)
      throw error
    }
  }

  private func planPartsToRAM(
    _ pages: borrowing CollectedPages, _ source: PFN, _ chunk: DmemChunk,
    _ scratch: MigrationScratch
  ) throws(KernelError) {
    counters.hugeSplits += 1
    let first = scratch.wantedPlace
    // The page that was touched comes first; of the others, those that find room.
    try planPart(first..<(first + 1), pages, source, chunk, scratch)
    var place = 0
    while place < DmemChunk.pages {
      let end = place < first ? first : DmemChunk.pages
      if place == first {
        place += 1
        continue
      }
      do throws(KernelError) {
        place += try planPart(place..<end, pages, source, chunk, scratch)
      } catch {
        return
      }
    }
  }

  /// Base pages as destinations of at most these places; how many, at least 1.
  @discardableResult
  private func planPart(
    _ places: Range<Int>, _ pages: borrowing CollectedPages, _ source: PFN, _ chunk: DmemChunk,
    _ scratch: MigrationScratch
  ) throws(KernelError) -> Int {
    let frames = try mm.allocateLockedRun(upTo: places.count)
    do throws(KernelError) {
      let address = try device.pci.dma.map(frames.start, count: frames.count, .fromDevice)
      scratch.add(address, pages: frames.count, .fromDevice)
      scratch.plan.add(
        from: .vram(chunk.address(of: source + places.lowerBound)), to: .host(address),
        pages: frames.count)
      pages.setDestinations(places.lowerBound, frames)
      return frames.count
    } catch {
      for step in 0..<frames.count {
        mm.unlock(frames.start + step)
        mm.put(frames.start + step)
      }
      throw error
    }
  }

  /// Pages that did move; a huge page is one word, and then the first.
  func movedPages(_ committed: borrowing CommittedPages) -> Int {
    let words = (0..<committed.count).count { committed[source: $0].migrates }
    guard policy.hugeFolios, committed.count > 0, committed[source: 0].isCompound,
      committed[source: 0].migrates
    else { return words }
    counters.hugeToRAM += 1
    return words + DmemChunk.pages - 1
  }

  /// How many free pages of RAM a migration that collected so many words may want.
  func pagesWanted(_ collected: Int) -> Int {
    policy.hugeFolios ? max(collected, DmemChunk.pages) : collected
  }
}
