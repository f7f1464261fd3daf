package import Base
import KernelRuntime

extension GPUAddressSpace {
  /// Sets entries of 4 KiB pages one by one: what a mirror of a process's address space does. A
  /// page for which `entry` gives nil keeps what it has; `.none` takes it away.
  ///
  /// On an error nothing has changed. One invalidation at the end, and only if an entry that the
  /// hardware could know was replaced.
  ///
  /// Kernel: nvkm_vmm_pfn_map (nvkm/subdev/mmu/vmm.c), gp100_vmm_pgt_pfn (vmmgp100.c)
  package func setPages(
    at address: GPUVirtualAddress, count: Int, _ entry: (Int) -> GPUPTE?
  ) async throws(KernelError) {
    let bytes = UInt64(count) << UInt64(PageSize.shift)
    guard address.isPageAligned, count >= 0, address.rawValue <= limit,
      bytes <= limit - address.rawValue
    else { throw .EINVAL }
    if count == 0 { return }
    await lock.lock()
    defer { lock.unlock() }
    var hasRemoved = false
    do throws(KernelError) {
      // Tables first, so that a failure leaves every entry as it was.
      var index = 0
      while index < count {
        let at = address + UInt64(index) << UInt64(PageSize.shift)
        let end = min(count, index + 512 - TableLevel.pt4K.slot(at))
        if (index..<end).contains(where: { entry($0).map { $0 != .none } ?? false }) {
          _ = try makeLeaf(at, 12)
        }
        index = end
      }
    } catch {
      await prune(address, bytes)
      throw error
    }
    var index = 0
    while index < count {
      let at = address + UInt64(index) << UInt64(PageSize.shift)
      let first = TableLevel.pt4K.slot(at)
      let run = min(count - index, 512 - first)
      if let table = findLeaf(at, 12) {
        for step in 0..<run {
          guard let new = entry(index + step) else { continue }
          if new == .none && !table.isLive(first + step) { continue }
          if table.isLive(first + step) { hasRemoved = true }
          table.write(new, first + step)
        }
        if table.isEmpty { hasRemoved = true }
      }
      index += run
    }
    if hasRemoved { await prune(address, bytes) } else { await invalidate() }
  }

  /// Sets entries of 4 KiB pages by runs; what lies between them keeps what it has.
  ///
  /// As ``setPages(at:count:_:)`` otherwise.
  package func setRuns(_ runs: [GPUPTERun], at address: GPUVirtualAddress)
    async
    throws(KernelError)
  {
    guard let last = runs.last else { return }
    let shift = UInt64(PageSize.shift)
    let bytes = UInt64(last.start + last.pages) << shift
    guard address.isPageAligned, address.rawValue <= limit, bytes <= limit - address.rawValue
    else { throw .EINVAL }
    await lock.lock()
    defer { lock.unlock() }
    do throws(KernelError) {
      // Tables first, so that a failure leaves every entry as it was.
      for run in runs {
        try forEachTable(of: run, at: address) { (at, _, _) throws(KernelError) in
          _ = try makeLeaf(at, 12)
        }
      }
    } catch {
      await prune(address, bytes)
      throw error
    }
    var hasReplaced = false
    for run in runs {
      forEachTable(of: run, at: address) { (at, done, pages) in
        guard let table = findLeaf(at, 12) else {
          invariantFailed("the table of \(at) was just made")
        }
        let slot = TableLevel.pt4K.slot(at)
        let entry = run.first.advanced(by: UInt64(done) << shift)
        if table.writeRun(entry, slot..<(slot + pages)) { hasReplaced = true }
      }
    }
    if hasReplaced { await prune(address, bytes) } else { await invalidate() }
  }

  /// Cuts a run where tables end: the address, the pages before it in the run, and those in it.
  private func forEachTable<E: Error>(
    of run: GPUPTERun, at address: GPUVirtualAddress,
    _ body: (GPUVirtualAddress, Int, Int) throws(E) -> Void
  ) throws(E) {
    var done = 0
    while done < run.pages {
      let at = address + UInt64(run.start + done) << UInt64(PageSize.shift)
      let pages = min(run.pages - done, 512 - TableLevel.pt4K.slot(at))
      try body(at, done, pages)
      done += pages
    }
  }

  /// ``setPages(at:count:_:)`` from an array.
  package func setPages(_ entries: [GPUPTE], at address: GPUVirtualAddress)
    async
    throws(KernelError)
  {
    try await setPages(at: address, count: entries.count) { entries[$0] }
  }

  /// Takes pages away that ``setPages(at:count:_:)`` gave; returns when no unit uses them any more.
  ///
  /// Kernel: nvkm_vmm_pfn_unmap (nvkm/subdev/mmu/vmm.c)
  package func unmapPages(at address: GPUVirtualAddress, count: Int) async {
    await unmap(address, bytes: UInt64(count) << UInt64(PageSize.shift))
  }
}

/// Pages in a row, in a GPU's address space and in the memory behind it.
package struct GPUPTERun {
  /// The first page's number, counted from the address that the runs are set at.
  package var start: Int
  package var pages: Int
  /// The first page's entry.
  package var first: GPUPTE

  /// What of the run lies in pages `from..<to`; nil when nothing does.
  func part(from: Int, to: Int) -> GPUPTERun? {
    let (from, to) = (max(from, start), min(to, start + pages))
    guard from < to else { return nil }
    let offset = UInt64(from - start) << UInt64(PageSize.shift)
    return GPUPTERun(start: from, pages: to - from, first: first.advanced(by: offset))
  }
}
