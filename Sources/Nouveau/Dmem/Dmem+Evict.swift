public import Base
import KernelRuntime
import LinuxMM

/// What an eviction did, in pages.
public struct EvictionResult: Hashable, Sendable {
  /// Back in RAM with their bytes.
  public var evicted = 0
  /// Still on the device: held by others to the end of the time allowed, or their copy failed.
  public var left = 0
  /// Replaced by poison because the device is gone and with it their bytes; each access to them
  /// gets SIGBUS.
  public var lost = 0
  /// The last error of a copy.
  public var error: KernelError?

  public init() {}
}

extension Dmem {
  /// How long eviction waits for pages that others hold, in virtual nanoseconds.
  static let evictionPatience: UInt64 = 15_000_000_000
  /// Passes whose copies may fail before eviction gives a chunk up, whatever time they took.
  private static let failedPasses = 3

  /// Brings every page of a chunk back to RAM, pass by pass, until none is in use.
  ///
  /// The core leaves out pages that it can't lock at once, and says nothing of them (bugs.md L07,
  /// R30); nouveau makes one pass. Here the pass is repeated, with growing pauses, for as long as
  /// ``evictionPatience``. Each page's copy is checked (L06).
  ///
  /// The GPU's translations go as the core unmaps each page: it tells every process's notifier, and
  /// an event without our owner isn't let pass.
  ///
  /// LOCKING: no mmap lock needed; pages are found by number. The notifiers take svmm mutexes.
  /// Kernel: nouveau_dmem_evict_chunk
  func evict(_ chunk: DmemChunk) async -> EvictionResult {
    lock.withLock { close(chunk) }
    var result = EvictionResult()
    var pause: UInt64 = 1_000
    let deadline = kernel.now &+ Self.evictionPatience
    var failures = 0
    let start = kernel.now
    while chunk.inUse > 0 {
      let before = chunk.inUse
      result.error = await evictPass(chunk.range, &result)
      if chunk.inUse == 0 { break }
      if result.error != nil && !isWorthRetrying { break }
      if result.error != nil { failures += 1 }
      if chunk.inUse == before {
        // One fence that never comes lasts as long as all the patience; that alone ends nothing.
        let mayFailAgain = result.error != nil && failures < Self.failedPasses
        guard kernel.now < deadline || mayFailAgain else { break }
        await kernel.sleep(pause)
        pause = min(pause * 2, 1_000_000_000)
      }
    }
    result.left = chunk.inUse
    kernel.trace.span(
      .dmemEvict, since: start, chunk.range.start.rawValue, UInt64(result.evicted),
      UInt64(result.left))
    return result
  }

  /// A device that is gone can't copy later either. `ENODEV` alone doesn't say so: a channel that
  /// was killed gives it too, and the next pass rebuilds that.
  private var isWorthRetrying: Bool { !device.isLost && kernel.now < .max }

  /// Copies the pages of a chunk by themselves after copying them together has failed: one page
  /// that can't be read, as with an uncorrectable error of its memory, must not take the others
  /// along.
  /// Gives the pages whose own copy the engine refused: their memory can't be trusted.
  private func evictOneByOne(
    _ chunk: DmemChunk, _ result: inout EvictionResult
  ) async -> [PFN] {
    var unreadable: [PFN] = []
    for index in 0..<DmemChunk.pages where chunk.isInUse(chunk.range.start + index) {
      if device.isLost { break }
      let page = PFNRange(start: chunk.range.start + index, count: 1)
      guard let error = await evictPass(page, &result) else { continue }
      result.error = error
      if error == .EIO { unreadable.append(page.start) }
    }
    result.left = chunk.inUse
    return unreadable
  }

  /// Brings back what of a range of device pages can be collected now; the error of its copies.
  private func evictPass(_ range: PFNRange, _ result: inout EvictionResult) async -> KernelError? {
    let scratch = takeScratch()
    defer { spareScratch.append(scratch) }
    let pages = await mm.migrateDeviceSetup(range, scratch.buffers)
    guard pages.collected > 0 else {
      pages.abandon()
      return nil
    }
    await mm.makeRoom(pages: pagesWanted(pages.collected))
    var failure: KernelError?
    var index = 0
    while index < pages.count {
      do throws(KernelError) {
        index += try planToRAM(from: index, pages, scratch)
      } catch {
        failure = error
        index += 1
      }
    }
    if let error = await copyAndWait(scratch) {
      counters.copyFailures += UInt64(scratch.plan.pages)
      dropAllDestinations(pages, scratch)
      pages.abandon()
      return error
    }
    unmapAll(scratch)
    let committed = await pages.commit()
    let moved = movedPages(committed)
    committed.finalize()
    counters.evicted += UInt64(moved)
    result.evicted += moved
    return failure
  }

  /// Brings every page of every chunk back and returns the chunks: what unbinding the driver needs.
  ///
  /// When no copy succeeds for as long as eviction has patience, `isForced` has the CPU read the
  /// bytes out. When the device is gone, or a page's memory is bad, its bytes are lost; with
  /// `isForced` such pages become poison, so that the processes get SIGBUS instead of somebody
  /// else's bytes, and the driver can leave. Else chunks with pages left stay, and the caller may
  /// try again. Kernel: nouveau_dmem_fini
  package func evictAll(isForced: Bool) async -> EvictionResult {
    var total = EvictionResult()
    close()
    // A chunk that is being made is finished first; later ones are refused. The mutex isn't held
    // while pages move, since their unmapping takes the svmm mutexes, which come before it.
    await chunkMutex.withLock { () async in }
    for chunk in chunks where !chunk.isClosing {
      var result = EvictionResult()
      if chunk.buffer.pinCount == 0 {
        // While the device sleeps the bytes are in system memory; and after a resume that failed
        // they may be in VRAM, at a place that nobody holds.
        result.evicted = await salvage(chunk, except: [], patience: Self.evictionPatience)
        result.left = chunk.inUse
      } else {
        result = await evict(chunk)
      }
      if result.left > 0 && isForced && result.error != nil {
        let unreadable = await evictOneByOne(chunk, &result)
        result.evicted += await salvage(chunk, except: unreadable, patience: 0)
        result.left = chunk.inUse
      }
      if result.left > 0 && isForced && (device.isLost || result.error != nil) {
        result.lost = await poison(chunk)
        result.left = chunk.inUse
      }
      total.evicted += result.evicted
      total.lost += result.lost
      total.left += result.left
      total.error = result.error ?? total.error
      if chunk.inUse == 0 { await chunkMutex.withLock { () async in await remove(chunk) } }
    }
    if total.left > 0 {
      // The driver stays bound: what is left can still be faulted back, and new chunks be made.
      isClosed = false
      for chunk in chunks { reopen(chunk) }
    }
    await housekeeping.flush()
    return total
  }

  /// No chunk is made any more, and nobody waits for the device to wake: faults that do hold the
  /// pages that an eviction wants, migrations the process.
  func close() {
    isClosed = true
    activity.wakeAll()
  }

  private func reopen(_ chunk: DmemChunk) {
    lock.withLock {
      guard chunk.isClosing else { return }
      chunk.isClosing = false
      freePages += chunk.freePages
    }
    firstWithSpace = 0
  }

  /// Gives up the pages of a chunk on a dead device: their bytes are lost, and each entry that
  /// named them becomes poison, so that each access says so. Kernel: memory_failure_dev_pagemap is
  /// akin
  private func poison(_ chunk: DmemChunk) async -> Int {
    var lost = 0
    for index in 0..<DmemChunk.pages {
      let page = chunk.range.start + index
      if chunk.isInUse(page), await mm.memoryFailure(page) { lost += 1 }
    }
    counters.lost += UInt64(lost)
    return lost
  }
}
