import Base
import KernelRuntime

extension MemoryManager {
  // SOURCE: include/linux/swap.h, SWAP_CLUSTER_MAX of 6.12.
  /// Pages that an allocation tries to free before it tries again.
  static let reclaimBatch = 32
  // SOURCE: mm/page_alloc.c, MAX_RECLAIM_RETRIES of 6.12.
  private static let reclaimRetries = 16

  /// A system page for a process (`vma_alloc_folio`), charged to its group: when RAM is full, other
  /// pages are reclaimed, and when nothing can be, a process may be killed.
  ///
  /// `swapSlot` is the slot that the page is read from, whose group is charged. Without pressure
  /// nothing sleeps. Errors as ``allocatePage()``.
  func allocatePage(
    for space: AddressSpace?, swapSlot: Int = 0
  ) async throws(KernelError) -> PFN {
    let pfn = try await allocateReclaiming(space)
    guard let groups, let group = groups.charged(for: space, swapSlot, swap) else { return pfn }
    do throws(KernelError) {
      try await charge(group, 1, for: space)
    } catch {
      put(pfn)
      throw error
    }
    groups.own(pfn.index, group)
    return pfn
  }

  /// As ``allocatePage(for:swapSlot:)``, as long as nothing can sleep: nil when RAM is full or a
  /// group may have to be charged.
  @inline(__always)
  func allocateAtOnce() throws(KernelError) -> PFN? {
    guard groups == nil, frames.available > 0 else { return nil }
    return try allocatePage()
  }

  private func allocateReclaiming(_ space: AddressSpace?) async throws(KernelError) -> PFN {
    do throws(KernelError) {
      return try allocatePage()
    } catch {
      // With memory left it was an injected failure.
      guard frames.available == 0, error == .ENOMEM else { throw error }
    }
    tally.directReclaims += 1
    for _ in 0..<Self.reclaimRetries {
      let freed = await reclaim(pages: Self.reclaimBatch)
      if let pfn = frames.take() { return PFN(UInt64(pfn)) }
      if freed > 0 { continue }
      guard space?.isUnstable != true, await killForMemory(nil) else { break }
      if let pfn = frames.take() { return PFN(UInt64(pfn)) }
    }
    throw .ENOMEM
  }

  /// Frees pages from the LRU's cold end until `wanted` are free or nothing more can be
  /// (`try_to_free_pages`); how many were freed.
  ///
  /// A page that was used since the last look gets a second chance. Sleeps in the mirrors of the
  /// pages that go and for the swap device; page locks are only tried.
  @discardableResult
  public func reclaim(pages wanted: Int) async -> Int {
    await reclaim(pages: wanted, of: nil)
  }

  /// Reclaims when fewer than `count` pages are free, so that as many allocations can do without:
  /// for a driver that is about to take destinations in RAM. Does nothing otherwise.
  ///
  /// LOCKING: as for an allocation that may reclaim.
  public func makeRoom(pages count: Int) async {
    let missing = count - frames.available
    guard missing > 0, canReclaim else { return }
    tally.directReclaims += 1
    await reclaim(pages: missing)
  }

  /// As ``reclaim(pages:)``, of pages that are charged to one group.
  func reclaim(pages wanted: Int, of group: MemoryGroup?) async -> Int {
    guard canReclaim else { return 0 }
    // What is waited for in here, whoever allocates waits for.
    return await kernel.within(.reclaim) { () async in await reclaimNow(wanted, group) }
  }

  private func reclaimNow(_ wanted: Int, _ group: MemoryGroup?) async -> Int {
    await drainLRUOfAllCPUs()
    var freed = 0
    // Twice: the first look takes the marks of use off.
    var looks = 2 * lru.count
    while freed < wanted, looks > 0, let pfn = lru.coldest {
      looks -= 1
      if let group, groups?.owner(of: pfn) !== group {
        lru.warm(pfn)
        continue
      }
      if await reclaimPage(pfn) {
        freed += 1
      } else if pages[pfn].flags.contains(.lru) {
        // Locked by somebody, or no anonymous page: not ours to take now.
        lru.warm(pfn)
      } else {
        lru.drain(cpu: currentCPU)
      }
    }
    return freed
  }

  /// Whether any page could be reclaimed at all (`can_reclaim_anon_pages`).
  var canReclaim: Bool { swap != nil || hasLazyPages || files.count > 1 }
}
