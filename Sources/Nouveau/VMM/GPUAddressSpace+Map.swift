package import Base
import KernelRuntime

/// Contiguous memory that is to be mapped.
package enum MappedTarget: Hashable, Sendable {
  case vram(VRAMAddress)
  case host(DMAAddress)

  fileprivate func entry(_ offset: UInt64, writable: Bool) -> GPUPTE {
    switch self {
    case .vram(let address): .vram(address + offset, writable: writable)
    case .host(let address): .host(address + offset, writable: writable)
    }
  }

  /// The largest page that fits at `address`, `offset` bytes into the target, with `left` to go.
  /// System memory is mapped in 4 KiB pages only.
  ///
  /// Kernel: nvkm_vmm_map_choose (nvkm/subdev/mmu/vmm.c)
  fileprivate func pageShift(_ address: GPUVirtualAddress, _ offset: UInt64, _ left: UInt64)
    -> UInt64
  {
    guard case .vram(let start) = self else { return 12 }
    for shift: UInt64 in [21, 16] {
      let mask: UInt64 = (1 << shift) - 1
      if (address.rawValue | (start.rawValue + offset)) & mask == 0 && left > mask { return shift }
    }
    return 12
  }
}

extension GPUAddressSpace {
  /// Maps contiguous memory, in the largest pages that fit. Nothing may be mapped there (`EEXIST`);
  /// on an error nothing is.
  ///
  /// Kernel: nvkm_vmm_map_locked (nvkm/subdev/mmu/vmm.c)
  package func map(
    _ target: MappedTarget, at address: GPUVirtualAddress, bytes: UInt64, writable: Bool = true
  ) async throws(KernelError) {
    guard bytes > 0, address.isPageAligned, bytes.isMultiple(of: UInt64(PageSize.bytes)),
      address.rawValue <= limit, bytes <= limit - address.rawValue
    else { throw .EINVAL }
    await lock.lock()
    defer { lock.unlock() }
    do throws(KernelError) {
      // First every table, which may fail; then every entry, which can't.
      try walk(target, address, bytes) { (table, slot, _) throws(KernelError) in
        if table.isLive(slot) { throw .EEXIST }
      }
    } catch {
      await prune(address, bytes)
      throw error
    }
    walkExisting(target, address, bytes) { table, slot, offset in
      table.write(target.entry(offset, writable: writable), slot)
    }
    await invalidate()
  }

  /// Takes every page of the range away; what isn't mapped stays so. Waits until no unit uses the
  /// old entries.
  ///
  /// Kernel: nvkm_vmm_unmap_locked (nvkm/subdev/mmu/vmm.c)
  package func unmap(_ address: GPUVirtualAddress, bytes: UInt64) async {
    await lock.lock()
    if clear(address, bytes) { await prune(address, bytes) } else { await invalidate() }
    lock.unlock()
  }

  // MARK: walking

  private func walk(
    _ target: MappedTarget, _ address: GPUVirtualAddress, _ bytes: UInt64,
    _ body: (PageTable, Int, UInt64) throws(KernelError) -> Void
  ) throws(KernelError) {
    var offset: UInt64 = 0
    var covered: UInt64 = 0
    var tableShift: UInt64 = 0
    var table = root
    while offset < bytes {
      let at = address + offset
      let shift = target.pageShift(at, offset, bytes - offset)
      if offset >= covered || shift != tableShift {
        table = try makeLeaf(at, shift)
        tableShift = shift
        covered = offset + Self.span(shift) - at.rawValue & (Self.span(shift) - 1)
      }
      try body(table, table.level.slot(at), offset)
      offset += 1 << shift
    }
  }

  /// Bytes that the table with entries of `1 << shift` bytes covers.
  private static func span(_ shift: UInt64) -> UInt64 { shift == 21 ? 512 << 20 : 2 << 20 }

  private func walkExisting(
    _ target: MappedTarget, _ address: GPUVirtualAddress, _ bytes: UInt64,
    _ body: (PageTable, Int, UInt64) -> Void
  ) {
    var offset: UInt64 = 0
    var table: PageTable?
    var covered: UInt64 = 0
    var tableShift: UInt64 = 0
    while offset < bytes {
      let at = address + offset
      let shift = target.pageShift(at, offset, bytes - offset)
      if offset >= covered || shift != tableShift {
        let leaf = findLeaf(at, shift)
        table = leaf
        tableShift = shift
        covered = offset + Self.span(shift) - at.rawValue & (Self.span(shift) - 1)
      }
      if let table { body(table, table.level.slot(at), offset) }
      offset += 1 << shift
    }
  }

  /// The table that holds entries of `1 << shift` bytes at `address`, made if need be.
  ///
  /// Kernel: nvkm_vmm_ref_hwpt (nvkm/subdev/mmu/vmm.c)
  func makeLeaf(_ address: GPUVirtualAddress, _ shift: UInt64) throws(KernelError) -> PageTable {
    var table = root
    while let below = table.level.below {
      table = try child(of: table, table.level.slot(address), below)
    }
    let slot = TableLevel.pd0.slot(address)
    if shift == 21 {
      if table.child(2 * slot) != nil || table.child(2 * slot + 1) != nil { throw .EEXIST }
      return table
    }
    if table.isLive(slot) { throw .EEXIST }
    return try child(
      of: table, 2 * slot + (shift == 12 ? 1 : 0), shift == 12 ? .pt4K : .pt64K)
  }

  private func child(of table: PageTable, _ key: Int, _ level: TableLevel) throws(KernelError)
    -> PageTable
  {
    if let found = table.child(key) { return found }
    let made = try Self.makeTable(level, mmu)
    tableCount += 1
    table.link(made, key)
    return made
  }

  func findLeaf(_ address: GPUVirtualAddress, _ shift: UInt64) -> PageTable? {
    guard let directory = directory(for: address) else { return nil }
    if shift == 21 { return directory }
    return directory.child(2 * TableLevel.pd0.slot(address) + (shift == 12 ? 1 : 0))
  }

  /// Clears every entry of the range. A larger page that the range covers in part goes whole. True
  /// when a table holds nothing now.
  private func clear(_ address: GPUVirtualAddress, _ bytes: UInt64) -> Bool {
    var hasEmptied = false
    let end = address.rawValue + bytes
    var at = address.rawValue
    while at < end {
      let next = min((at | 0x1f_ffff) + 1, end)
      if let directory = directory(for: GPUVirtualAddress(at)) {
        let slot = TableLevel.pd0.slot(GPUVirtualAddress(at))
        if directory.isLive(slot) {
          directory.write(.none, slot)
          if directory.isEmpty { hasEmptied = true }
        }
        for key in (2 * slot)...(2 * slot + 1) {
          guard let table = directory.child(key) else { continue }
          let first = table.level.slot(GPUVirtualAddress(at))
          let last = table.level.slot(GPUVirtualAddress(next - 1))
          table.clear(first..<(last + 1))
          if table.isEmpty { hasEmptied = true }
        }
      }
      at = next
    }
    return hasEmptied
  }

  /// Unlinks the tables of the range that hold nothing, invalidates, and gives their memory back.
  ///
  /// Kernel: nvkm_vmm_unref_pdes (nvkm/subdev/mmu/vmm.c)
  func prune(_ address: GPUVirtualAddress, _ bytes: UInt64) async {
    var doomed: [PageTable] = []
    let end = address.rawValue + bytes
    var at = address.rawValue
    while at < end {
      pruneBlock(GPUVirtualAddress(at), &doomed)
      at = (at | 0x1f_ffff) + 1
    }
    await invalidate()
    for table in doomed { memory.free(table.memory) }
    tableCount -= doomed.count
  }

  private func pruneBlock(_ address: GPUVirtualAddress, _ doomed: inout [PageTable]) {
    var path: [PageTable] = [root]
    while let table = path.last, table.level != .pd0 {
      guard let next = table.child(table.level.slot(address)) else { break }
      path.append(next)
    }
    if let directory = path.last, directory.level == .pd0 {
      let slot = TableLevel.pd0.slot(address)
      for key in [2 * slot, 2 * slot + 1] {
        guard let leaf = directory.child(key), leaf.isEmpty else { continue }
        directory.unlink(key)
        doomed.append(leaf)
      }
    }
    while path.count > 1, let table = path.popLast(), table.isEmpty, let above = path.last {
      above.unlink(above.level.slot(address))
      doomed.append(table)
    }
  }
}
