import Base
import KernelRuntime
import LinuxMM

/// A promise of device pages to one migration, made before any page of the process is locked.
///
/// Allocating while pages are locked could wait for reclaim, and reclaim for those pages; so the
/// chunks that a batch may need are made first, and what isn't used is returned.
package struct DevicePageReservation: ~Copyable {
  fileprivate(set) package var pages: Int
}

extension Dmem {
  /// Promises up to `wanted` device pages, making chunks as needed; fewer when VRAM or address
  /// space runs out, which leaves pages in RAM and is no error.
  package func reserve(_ wanted: Int) async -> DevicePageReservation {
    while available < wanted && !isClosed {
      do throws(KernelError) {
        try await addChunk(ifFewerThan: wanted)
      } catch {
        break
      }
    }
    let granted = lock.withLock { () -> Int in
      let granted = min(wanted, max(0, available))
      reservedPages += granted
      return granted
    }
    return DevicePageReservation(pages: granted)
  }

  /// Returns what is left of a promise.
  package func release(_ reservation: consuming DevicePageReservation) {
    let left = reservation.pages
    lock.withLock { reservedPages -= left }
  }

  /// Takes pages in a row against a promise, at most `wanted`: locked, with one reference, ready to
  /// be destinations. Nil when the promise is used up. Kernel: nouveau_dmem_page_alloc_locked
  func takePages(
    _ reservation: inout DevicePageReservation, upTo wanted: Int
  ) -> (pages: PFNRange, chunk: DmemChunk)? {
    let most = min(wanted, reservation.pages)
    guard most > 0 else { return nil }
    let taken = lock.withLock { () -> (pages: PFNRange, chunk: DmemChunk)? in
      for index in firstWithSpace..<chunks.count {
        if let run = chunks[index].takeRun(upTo: most) {
          firstWithSpace = index
          freePages -= run.count
          reservedPages -= run.count
          return (run, chunks[index])
        }
      }
      return nil
    }
    guard let taken else { return nil }
    reservation.pages -= taken.pages.count
    mm.initDevicePages(taken.pages)
    return taken
  }

  /// Returns a page that never became anybody's. Kernel: nouveau_dmem_page_free_locked
  func dropPage(_ page: PFN) {
    mm.unlock(page)
    mm.put(page)
  }

  private var available: Int { freePages - reservedPages }

  /// Whether ``reserve(_:)`` of so many pages needs no new chunk.
  func canReserve(_ pages: Int) -> Bool { available >= pages }

  /// Makes one more chunk, or finds that another task made one meanwhile; false when none can be
  /// had.
  func makeChunk() async -> Bool {
    do throws(KernelError) {
      try await addChunk(ifFewerThan: available + 1)
      return true
    } catch {
      return false
    }
  }

  /// Makes one chunk unless another task has made enough meanwhile.
  ///
  /// Each step that fails takes back the steps before it (bugs.md G02: a range that stays
  /// registered can never be registered again). Kernel: nouveau_dmem_chunk_alloc
  ///
  /// LOCKING: takes the dmem mutex; sleeps.
  private func addChunk(ifFewerThan wanted: Int) async throws(KernelError) {
    try await chunkMutex.withLock { () async throws(KernelError) in
      guard available < wanted else { return }
      guard !isClosed else { throw .ENODEV }
      let bytes = UInt64(PageSize.hugeBytes)
      let range = try mm.requestFreeMemRegion(bytes: bytes, name: "nouveau dmem")
      do throws(KernelError) {
        let buffer = BufferObject(buffers, bytes: bytes, alignment: bytes)
        do throws(KernelError) {
          try buffer.pin()
          do throws(KernelError) {
            try add(buffer, range)
          } catch {
            buffer.unpin()
            throw error
          }
        } catch {
          buffer.destroy()
          throw error
        }
      } catch {
        mm.releaseMemRegion(range)
        throw error
      }
    }
  }

  private func add(_ buffer: BufferObject, _ range: PFNRange) throws(KernelError) {
    let operations = DmemPageOperations(self)
    let pagemap = DevicePagemap(
      kind: .devicePrivate, range: range, owner: owner, operations: operations)
    let chunk = DmemChunk(buffer: buffer, pagemap: pagemap)
    try mm.memremap(pagemap)
    buffer.occupancy = { [unowned chunk] in chunk.occupiedRuns }
    lock.withLock {
      chunk.position = chunks.count
      chunks.append(chunk)
      chunkByBlock[range.start.rawValue / UInt64(DmemChunk.pages)] = chunk
      freePages += DmemChunk.pages
    }
    counters.chunksMade += 1
    kernel.trace.record(.dmemChunk, range.start.rawValue, buffer.offset.rawValue)
  }

  /// Device pages in a row have lost their last reference. Atomic context.
  /// Kernel: nouveau_dmem_page_free
  func pagesFree(_ pages: PFNRange) {
    guard let chunk = chunk(of: pages.start) else {
      invariantFailed("page_free of \(pages), which no chunk holds")
    }
    lock.withLock {
      chunk.giveBack(pages)
      if !chunk.isClosing {
        freePages += pages.count
        firstWithSpace = min(firstWithSpace, chunk.position)
      }
    }
    if chunk.inUse == 0 && !chunk.isClosing && chunks.count > policy.emptyChunksKept {
      housekeeping.queue(trimWork)
    }
  }

  /// A huge page of the device is base pages now, which come back one by one. Atomic context.
  func folioSplit(_ range: PFNRange) {
    counters.folioSplits += 1
    kernel.trace.record(.dmemFolioSplit, range.start.rawValue)
  }

  /// Gives empty chunks back beyond the first `kept`; the number given back.
  ///
  /// A chunk whose pages are promised stays. LOCKING: takes the dmem mutex; sleeps.
  @discardableResult
  package func trim(keeping kept: Int) async -> Int {
    await chunkMutex.withLock { () async -> Int in
      var returned = 0
      while let chunk = surplusChunk(keeping: kept) {
        await remove(chunk)
        returned += 1
      }
      return returned
    }
  }

  /// Closes one empty chunk beyond the first `kept`, newest first, if the promises allow it.
  private func surplusChunk(keeping kept: Int) -> DmemChunk? {
    lock.withLock {
      let empty = chunks.filter { $0.inUse == 0 && !$0.isClosing }
      guard empty.count > kept, available >= DmemChunk.pages, let last = empty.last else {
        return nil
      }
      close(last)
      return last
    }
  }

  /// Takes the chunk's free pages out of circulation. LOCKING: dmem lock held.
  func close(_ chunk: DmemChunk) {
    guard !chunk.isClosing else { return }
    freePages -= chunk.freePages
    chunk.isClosing = true
  }

  /// Returns an empty, closed chunk's memory and address range.
  ///
  /// LOCKING: dmem mutex held; sleeps until the last page reference is gone.
  func remove(_ chunk: DmemChunk) async {
    invariant(chunk.isClosing && chunk.inUse == 0, "a chunk in use is given back")
    await mm.memunmap(chunk.pagemap)
    lock.withLock {
      chunks.remove(at: chunk.position)
      for index in chunk.position..<chunks.count { chunks[index].position = index }
      chunkByBlock[chunk.range.start.rawValue / UInt64(DmemChunk.pages)] = nil
      firstWithSpace = 0
    }
    await closeWindow(chunk)
    // A chunk of a device that sleeps is not pinned.
    if chunk.buffer.pinCount > 0 { chunk.buffer.unpin() }
    chunk.buffer.destroy()
    mm.releaseMemRegion(chunk.range)
    counters.chunksReturned += 1
  }
}

/// What the core calls for our device pages. Kernel: nouveau_dmem_pagemap_ops
final class DmemPageOperations: DevicePagemapOperations {
  private unowned let dmem: Dmem

  init(_ dmem: Dmem) { self.dmem = dmem }

  func pageFree(_ pfn: PFN) { dmem.pagesFree(PFNRange(start: pfn, count: 1)) }

  func pagesFree(_ range: PFNRange) { dmem.pagesFree(range) }

  func folioSplit(_ range: PFNRange) { dmem.folioSplit(range) }

  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { await dmem.migrateToRAM(fault) }
}
