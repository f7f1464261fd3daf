import Base
import NVHardware

/// The levels of Pascal's tables, root first.
enum TableLevel: Int {
  case pd3
  case pd2
  case pd1
  /// Two 64-bit entries a slot: large pages below in the low one, small ones in the high one; or a
  /// 2 MiB page.
  case pd0
  case pt64K
  case pt4K

  /// The address bits that index it.
  var index: BitField {
    switch self {
    case .pd3: NV_MMU_VER2.PD3_INDEX
    case .pd2: NV_MMU_VER2.PD2_INDEX
    case .pd1: NV_MMU_VER2.PD1_INDEX
    case .pd0: NV_MMU_VER2.PD0_INDEX
    case .pt64K: NV_MMU_VER2.PT64K_INDEX
    case .pt4K: NV_MMU_VER2.PT4K_INDEX
    }
  }

  /// log2 of the bytes that one entry covers.
  var shift: UInt64 { UInt64(index.low) }
  var entryCount: Int { 1 << index.width }
  var entryBytes: Int {
    self == .pd0 ? NV_MMU_VER2.DUAL_PDE_byteCount : NV_MMU_VER2.PDE_byteCount
  }
  var byteCount: Int { entryCount * entryBytes }
  func slot(_ address: GPUVirtualAddress) -> Int { Int(index.get(address.rawValue)) }

  /// The directory below, down to PD0.
  var below: TableLevel? { self == .pd3 ? .pd2 : self == .pd2 ? .pd1 : self == .pd1 ? .pd0 : nil }
}

/// One page table or directory: its memory, and what the driver knows of its entries.
///
/// INVARIANT: a table but the root has at least one child or one live entry between two operations
/// on its address space.
final class PageTable {
  let level: TableLevel
  let memory: InstanceObject
  /// The tables below, sorted by key: the slot, and in PD0 twice the slot, plus 1 for small pages.
  private(set) var children: [(key: Int, table: PageTable)] = []
  /// One bit an entry that holds a page.
  private var live: [UInt64]
  private(set) var liveCount = 0

  init(_ level: TableLevel, _ memory: InstanceObject) {
    self.level = level
    self.memory = memory
    let holdsPages = level == .pd0 || level == .pt64K || level == .pt4K
    live = holdsPages ? [UInt64](repeating: 0, count: (level.entryCount + 63) / 64) : []
  }

  var isEmpty: Bool { liveCount == 0 && children.isEmpty }

  // MARK: children

  private func position(_ key: Int) -> Int {
    var low = 0
    var high = children.count
    while low < high {
      let middle = (low + high) / 2
      if children[middle].key < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func child(_ key: Int) -> PageTable? {
    let at = position(key)
    return at < children.count && children[at].key == key ? children[at].table : nil
  }

  /// Links a table and points the hardware at it.
  ///
  /// Kernel: gp100_vmm_pd1_pde, gp100_vmm_pd0_pde (nvkm/subdev/mmu/vmmgp100.c)
  func link(_ table: PageTable, _ key: Int) {
    children.insert((key, table), at: position(key))
    memory.write64(
      NV_MMU_VER2.pde(
        aperture: NV_MMU_VER2.PDE_APERTURE_VIDEO_MEMORY, address: table.memory.address.rawValue),
      8 * key)
  }

  /// Unlinks a table; its memory is the hardware's until the next invalidation.
  func unlink(_ key: Int) {
    children.remove(at: position(key))
    memory.write64(0, 8 * key)
  }

  // MARK: pages

  func isLive(_ slot: Int) -> Bool { live[slot >> 6] >> UInt64(slot & 63) & 1 != 0 }

  /// Writes a page's entry; 0 takes the page away.
  ///
  /// Kernel: gp100_vmm_pgt_pte, gp100_vmm_pd0_pte (nvkm/subdev/mmu/vmmgp100.c)
  func write(_ entry: GPUPTE, _ slot: Int) {
    let bit: UInt64 = 1 << UInt64(slot & 63)
    let was = live[slot >> 6] & bit != 0
    let isPage = entry != .none
    if was != isPage {
      live[slot >> 6] ^= bit
      liveCount += isPage ? 1 : -1
    }
    if level == .pd0 { memory.write64(0, 16 * slot + 8) }
    memory.write64(entry.rawValue, level.entryBytes * slot)
  }

  /// Writes the entries of pages in a row, `first` and what follows it in memory; true when one of
  /// them replaced a page. Not for PD0, whose slots are pairs.
  func writeRun(_ first: GPUPTE, _ slots: Range<Int>) -> Bool {
    invariant(level != .pd0 && first != .none, "a run of entries that are no pages")
    let pages = UInt64(1) << level.shift
    let replaced = setLive(slots, true)
    memory.writeSeries(
      first.rawValue, step: pages >> 4, level.entryBytes * slots.lowerBound, count: slots.count)
    return replaced > 0
  }

  /// Takes the pages of a range of slots away, where there are any.
  func clear(_ slots: Range<Int>) {
    var slot = slots.lowerBound
    while slot < slots.upperBound {
      guard isLive(slot) else {
        slot += 1
        continue
      }
      let first = slot
      while slot < slots.upperBound && isLive(slot) { slot += 1 }
      _ = setLive(first..<slot, false)
      memory.writeSeries(0, step: 0, level.entryBytes * first, count: slot - first)
    }
  }

  /// Marks slots; how many of them held a page before.
  private func setLive(_ slots: Range<Int>, _ isPage: Bool) -> Int {
    var before = 0
    var slot = slots.lowerBound
    while slot < slots.upperBound {
      let bit = slot & 63
      let width = min(64 - bit, slots.upperBound - slot)
      let mask = (~UInt64(0) >> UInt64(64 - width)) << UInt64(bit)
      before += (live[slot >> 6] & mask).nonzeroBitCount
      if isPage { live[slot >> 6] |= mask } else { live[slot >> 6] &= ~mask }
      slot += width
    }
    liveCount += (isPage ? slots.count : 0) - before
    return before
  }

  func read(_ slot: Int) -> GPUPTE {
    GPUPTE(rawValue: memory.read64(level.entryBytes * slot))
  }
}
