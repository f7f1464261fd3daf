import Base
import KernelRuntime
import LinuxMM

extension Dmem {
  /// Brings pages of a chunk back without the copy engine, one by one; how many. The last
  /// resort when the engine copies nothing any more and the driver has to leave: the CPU reads the
  /// bytes where they are, through the window on VRAM, or in system memory while the device sleeps.
  ///
  /// What others hold, or what finds no memory, is tried again for as long as `patience`, in
  /// virtual nanoseconds.
  ///
  /// `except` are pages whose copy the engine refused: what the window shows of memory with an
  /// uncorrectable error is anything. Their channel was stopped, so nothing writes meanwhile.
  ///
  /// Kernel: none; nouveau leaves such pages with whatever the failed copy left in their place
  func salvage(_ chunk: DmemChunk, except unreadable: [PFN], patience: UInt64) async -> Int {
    lock.withLock { close(chunk) }
    let deadline = kernel.now &+ patience
    var pause: UInt64 = 1_000
    var saved = 0
    while true {
      let now = await salvageOnce(chunk, except: unreadable)
      saved += now
      let isOver = chunk.inUse == 0 || device.isLost && chunk.buffer.backing == nil
      guard !isOver, kernel.now < deadline else { break }
      if now > 0 { continue }
      await kernel.sleep(pause)
      pause = min(pause * 2, 1_000_000_000)
    }
    counters.evicted += UInt64(saved)
    return saved
  }

  private func salvageOnce(_ chunk: DmemChunk, except unreadable: [PFN]) async -> Int {
    var saved = 0
    for index in 0..<DmemChunk.pages {
      let page = chunk.range.start + index
      guard chunk.isInUse(page), !unreadable.contains(page) else { continue }
      if device.isLost && chunk.buffer.backing == nil { break }
      saved += await salvage(page, index, of: chunk)
    }
    return saved
  }

  private func salvage(_ page: PFN, _ index: Int, of chunk: DmemChunk) async -> Int {
    let scratch = takeScratch()
    defer { spareScratch.append(scratch) }
    let pages = await mm.migrateDeviceSetup(PFNRange(start: page, count: 1), scratch.buffers)
    if pages.collected > 0 { await mm.makeRoom(pages: 1) }
    guard pages.collected > 0, let frame = try? mm.allocateLockedRun(upTo: 1) else {
      pages.abandon()
      return 0
    }
    guard readOut(index, of: chunk, to: frame.start) else {
      mm.unlock(frame.start)
      mm.put(frame.start)
      pages.abandon()
      return 0
    }
    pages.setDestinations(0, frame)
    let committed = await pages.commit()
    let moved = (0..<committed.count).count { committed[source: $0].migrates }
    committed.finalize()
    return moved
  }

  /// Copies one page's bytes to a frame; false when they can't be had. Nothing sleeps.
  private func readOut(_ index: Int, of chunk: DmemChunk, to frame: PFN) -> Bool {
    let start = frame.index << PageSize.shift
    if let backing = chunk.buffer.backing {
      guard let kept = backing.pages.first(where: { $0.index == index }) else { return false }
      mm.ram.copy(
        from: mm.ram, at: kept.pfn.index << PageSize.shift, to: start, length: PageSize.bytes)
      return true
    }
    guard let place = chunk.buffer.currentAddress else { return false }
    let from = place + UInt64(index * PageSize.bytes)
    let window = channel.fifo.memory
    for offset in stride(from: 0, to: PageSize.bytes, by: 4) {
      mm.ram.store(window.read32(from + UInt64(offset)), at: start + offset)
    }
    // Of a device that has gone meanwhile every word reads as all ones.
    return device.checkPresence()
  }
}
