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
