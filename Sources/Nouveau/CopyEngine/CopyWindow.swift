import Base

/// Where a copy class without physical addresses sees physical memory: all of VRAM stands in the
/// channel's address space for good, in large pages; pages of the host are mapped for the copies of
/// one submission and taken away behind its fence.
///
/// The first submissions at a time use slots whose page tables exist from the start: a page must be
/// able to come back when VRAM is full, and so without memory for a table.
///
/// Kernel: nouveau maps both sides of a move into the client's address space before it copies
/// (nouveau_bo_move_prep, nouveau_bo.c); its dmem knows only classes with physical addresses.
package final class CopyWindow {
  private let space: GPUAddressSpace
  /// Where VRAM address 0 would stand; a multiple of the largest page.
  private let vramBase: GPUVirtualAddress
  private let vramBytes: UInt64
  /// Ranges of ``slotPages`` with tables that stay, and whether each is free.
  private var slots: [(address: GPUVirtualAddress, isFree: Bool)] = []

  /// Submissions that are under way at once in common use: two batches each of two tasks.
  private static let slotCount = 4
  /// Two tables; their first and last entries keep them, and guard the slot.
  private static let slotPages = 2 * PageSize.pagesPerHuge
  private static let slotBytes = UInt64(slotPages * PageSize.bytes)

  /// Pages of the host that stand in the window.
  package struct Lease {
    let address: GPUVirtualAddress
    let pages: Int
    /// The slot that holds them; nil for a range of their own.
    let slot: Int?
  }

  /// Maps VRAM. `ENOSPC` without room in the address space, `ENOMEM` without room for tables.
  init(_ space: GPUAddressSpace, vram: [Range<VRAMAddress>]) async throws(KernelError) {
    self.space = space
    let largest: UInt64 = 2 << 20
    let end = vram.reduce(0) { max($0, $1.upperBound.rawValue) }
    vramBytes = (end + largest - 1) & ~(largest - 1)
    vramBase = try space.allocateRange(bytes: vramBytes, alignment: largest)
    do throws(KernelError) {
      for range in vram {
        try await space.map(
          .vram(range.lowerBound), at: vramBase + range.lowerBound.rawValue,
          bytes: range.upperBound - range.lowerBound)
      }
      for _ in 0..<Self.slotCount { try await makeSlot() }
    } catch {
      await destroy()
      throw error
    }
  }

  private func makeSlot() async throws(KernelError) {
    let address = try space.allocateRange(
      bytes: Self.slotBytes, alignment: UInt64(PageSize.hugeBytes))
    slots.append((address, true))
    try await space.setPages(at: address, count: Self.slotPages) { page in
      page == 0 || page == Self.slotPages - 1 ? .sparse : nil
    }
  }

  func destroy() async {
    for slot in slots {
      await space.unmap(slot.address, bytes: Self.slotBytes)
      space.freeRange(slot.address, bytes: Self.slotBytes)
    }
    slots = []
    await space.unmap(vramBase, bytes: vramBytes)
    space.freeRange(vramBase, bytes: vramBytes)
  }

  /// Gives every run virtual addresses. On an error nothing is mapped.
  func map(_ runs: [CopyPlan.Run]) async throws(KernelError) -> (Lease?, [CopyPlan.Run]) {
    var hosts: [GPUPTE] = []
    for run in runs {
      if case .host(let address)? = run.source { append(&hosts, address, run, writable: false) }
      if case .host(let address) = run.destination {
        append(&hosts, address, run, writable: true)
      }
    }
    let lease = hosts.isEmpty ? nil : try await show(hosts)
    var next = lease?.address ?? vramBase
    return (lease, runs.map { translated($0, &next) })
  }

  private func show(_ hosts: [GPUPTE]) async throws(KernelError) -> Lease {
    if hosts.count <= Self.slotPages - 2, let free = slots.firstIndex(where: \.isFree) {
      slots[free].isFree = false
      let address = slots[free].address + UInt64(PageSize.bytes)
      do throws(KernelError) {
        try await space.setPages(hosts, at: address)
      } catch {
        slots[free].isFree = true
        throw error
      }
      return Lease(address: address, pages: hosts.count, slot: free)
    }
    let bytes = UInt64(hosts.count * PageSize.bytes)
    let address = try space.allocateRange(bytes: bytes)
    do throws(KernelError) {
      try await space.setPages(hosts, at: address)
    } catch {
      space.freeRange(address, bytes: bytes)
      throw error
    }
    return Lease(address: address, pages: hosts.count, slot: nil)
  }

  private func append(
    _ hosts: inout [GPUPTE], _ address: DMAAddress, _ run: CopyPlan.Run, writable: Bool
  ) {
    for page in 0..<run.pages {
      hosts.append(.host(address + UInt64(page * PageSize.bytes), writable: writable))
    }
  }

  private func translated(_ run: CopyPlan.Run, _ next: inout GPUVirtualAddress) -> CopyPlan.Run {
    var run = run
    if let source = run.source { run.source = translated(source, run.bytes, &next) }
    run.destination = translated(run.destination, run.bytes, &next)
    return run
  }

  private func translated(
    _ address: CopyAddress, _ bytes: UInt64, _ next: inout GPUVirtualAddress
  ) -> CopyAddress {
    switch address {
    case .vram(let vram): return .virtual(vramBase + vram.rawValue)
    case .virtual: return address
    case .host:
      defer { next += bytes }
      return .virtual(next)
    }
  }

  /// Takes the host's pages away; the copies that used them are complete, or their engine was
  /// stopped.
  func unmap(_ lease: Lease) async {
    await space.unmapPages(at: lease.address, count: lease.pages)
    if let slot = lease.slot {
      slots[slot].isFree = true
    } else {
      space.freeRange(lease.address, bytes: UInt64(lease.pages * PageSize.bytes))
    }
  }
}
