import Base
import DeviceSeam
import KernelRuntime
import LinuxMM

extension Dmem {
  /// Whether pages may lie on other GPUs.
  var hasPeers: Bool { peerGroup != nil }

  /// As ``migrateToDevice(_:_:explains:)``, with pages that lie on other GPUs: what becomes of them
  /// says ``DmemPolicy/peers``.
  ///
  /// LOCKING: takes the mmap lock for reading, several times; mappings may change in between.
  /// Kernel: none; nouveau leaves other drivers' pages alone
  func migrateFromAnywhere(
    _ svmm: SVMM, _ range: VirtualRange, explains: Bool
  ) async throws(KernelError) -> MigrationResult {
    guard !svmm.isLeaving else { throw .ENODEV }
    svmm.beginWork()
    defer { svmm.endWork() }
    var fetched = FetchedPages()
    var taken: [VirtualRange] = []
    if policy.peers != .stay && !isClosed && !device.isLost, let peerGroup {
      guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
      await svmm.space.mmapLock.lockShared()
      do throws(KernelError) {
        _ = try mappedParts(of: range, in: svmm.space)
      } catch {
        svmm.space.mmapLock.unlockShared()
        throw error
      }
      svmm.space.mmapLock.unlockShared()
      for peer in peerGroup.peers(of: self) where peer.pagesInUse > 0 {
        await fetch(from: peer, svmm, range, &fetched, &taken)
      }
    }
    var result = try await migrateToDevice(svmm, range, explains: explains)
    result.add(fetched, taken)
    return result
  }

  private func fetch(
    from peer: Dmem, _ svmm: SVMM, _ range: VirtualRange, _ fetched: inout FetchedPages,
    _ taken: inout [VirtualRange]
  ) async {
    if policy.peers == .direct {
      guard let fallback = await copy(from: peer, svmm, range, &fetched, &taken) else { return }
      counters.peerFallbacks += 1
      fetched.fallback = fetched.fallback ?? fallback
      kernel.trace.record(
        .dmemPeerFallback, range.start.rawValue, UInt64(range.pages),
        UInt64(fallback.error.errno))
    }
    // A driver that is leaving brings its pages to RAM itself.
    guard peer.hasPeers else { return }
    do throws(KernelError) {
      fetched.throughHost += try await peer.migrateToRAM(svmm.space, range)
    } catch {
      fetched.error = fetched.error ?? error
    }
  }

  /// Copies a peer's pages directly, batch by batch; why the rest has to go another way.
  private func copy(
    from peer: Dmem, _ svmm: SVMM, _ range: VirtualRange, _ fetched: inout FetchedPages,
    _ taken: inout [VirtualRange]
  ) async -> PeerFallback? {
    guard let route = PeerRoute(from: peer, to: self, policy.peerEngine) else {
      return .notReachable
    }
    let space = svmm.space
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    guard beginOperationNow() else { return .notRunning }
    defer { endOperation() }
    guard peer.beginOperationNow() else { return .notRunning }
    defer { peer.endOperation() }
    // What is no longer mapped, the migration behind this one says.
    guard let parts = try? mappedParts(of: range, in: space) else { return nil }
    let limit = min(policy.batchPages, peer.policy.batchPages)
    for batch in parts.flatMap({ $0.split(pages: limit) }) {
      let before = fetched.direct
      let fallback = await copyBatch(route, svmm, batch, &fetched)
      if fetched.direct > before { taken.append(batch) }
      if let fallback { return fallback }
    }
    return nil
  }

  /// One batch, in the order of all paths: collect, stop the GPU that has the pages, copy, wait for
  /// the fence, commit, map on this GPU what did move, finalize.
  ///
  /// The other driver lets the core's notice pass, since it is told of its own owner (R65); so its
  /// translations are taken here. This GPU's own go by the notice.
  private func copyBatch(
    _ route: PeerRoute, _ svmm: SVMM, _ range: VirtualRange, _ fetched: inout FetchedPages
  ) async -> PeerFallback? {
    let wanted = route.source.pageCount(in: range, of: svmm.space)
    if wanted == 0 { return nil }
    let start = kernel.now
    var reservation = await reserve(wanted)
    let scratch = takeScratch()
    defer { spareScratch.append(scratch) }
    let request = MigrationRequest(range, owner: route.source.owner, select: .devicePrivate)
    let arrival = await svmm.expect(range, of: route.source.owner)
    let pages: CollectedPages
    do throws(KernelError) {
      pages = try await svmm.space.migrateSetup(request, scratch.buffers)
    } catch {
      svmm.forget(arrival)
      release(reservation)
      return nil
    }
    var fallback: PeerFallback?
    if pages.collected > 0 {
      await route.source.stopDeviceAccess(of: svmm.space, range)
      fallback = await plan(route, pages, scratch, &reservation)
    }
    release(reservation)
    let error = await route.copy(scratch)
    route.unmap(scratch)
    if let error {
      counters.copyFailures += UInt64(scratch.plan.pages)
      kernel.trace.record(.dmemCopyFailed, range.start.rawValue, UInt64(error.errno))
      svmm.forget(arrival)
      dropAllDestinations(pages, scratch)
      pages.abandon(because: MigrationReason(.copyFailed, error: error))
      return .copyFailed(error)
    }
    let committed = await pages.commit()
    let moved = await svmm.map(committed, arrival, dmem: self).pages
    committed.finalize()
    counters.toDevice += UInt64(moved)
    counters.fromPeers += UInt64(moved)
    fetched.direct += moved
    kernel.trace.span(
      .dmemPeerCopy, since: start, range.start.rawValue, UInt64(wanted), UInt64(moved))
    return fallback
  }

  /// Gives each page a device page of this GPU, as long as there are any, and plans its copy.
  private func plan(
    _ route: PeerRoute, _ pages: borrowing CollectedPages, _ scratch: MigrationScratch,
    _ reservation: inout DevicePageReservation
  ) async -> PeerFallback? {
    var index = 0
    while index < pages.count {
      guard pages[source: index].migrates, let page = pages[source: index].pfn,
        let chunk = route.source.chunk(of: page)
      else {
        index += 1
        continue
      }
      let left = Int(chunk.range.end.rawValue - page.rawValue)
      let run = min(sourceRun(pages, from: index), left)
      guard let (taken, target) = takePages(&reservation, upTo: run) else { return nil }
      do throws(PeerFallback) {
        try await route.plan(
          (page, chunk), (taken.start, target), pages: taken.count, scratch)
      } catch {
        for step in 0..<taken.count { dropPage(taken.start + step) }
        return error
      }
      pages.setDestinations(index, taken)
      index += taken.count
    }
    return nil
  }

  /// Pages of a range that lie on this GPU.
  private func pageCount(in range: VirtualRange, of space: AddressSpace) -> Int {
    var count = 0
    for page in 0..<range.pages {
      if case .device(let frame) = space.entry(at: range.start + page * PageSize.bytes).location,
        chunk(of: frame) != nil
      {
        count += 1
      }
    }
    return count
  }
}

extension VirtualRange {
  /// The range in pieces of so many pages.
  fileprivate func split(pages limit: Int) -> [VirtualRange] {
    stride(from: 0, to: pages, by: limit).map {
      VirtualRange(start: start + $0 * PageSize.bytes, pages: min(limit, pages - $0))
    }
  }
}

extension MigrationResult {
  /// Adds what came from other GPUs, in `batches`; for the core those pages were there already.
  fileprivate mutating func add(_ fetched: FetchedPages, _ batches: [VirtualRange]) {
    self.fetched = fetched
    moved = min(requested, moved + fetched.direct)
    error = error ?? fetched.error
    if batches.isEmpty || stayed.isEmpty { return }
    stayed = stayed.filter { part in
      part.reason.kind != .devicePage
        || !batches.contains { $0.start <= part.range.start && part.range.end <= $0.end }
    }
  }
}
