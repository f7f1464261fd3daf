package import Base
import NVHardware

extension GPUAddressSpace {
  /// Gives so many 64-bit words of VRAM as the hardware would read them.
  package typealias Load = (_ address: VRAMAddress, _ words: Int) -> [UInt64]

  /// Visits every page of 4 KiB that a valid entry translates, as `load` finds entries in VRAM and
  /// not as the driver remembers them.
  package func forEachValidPage(load: Load, _ body: (_ page: UInt64) -> Void) {
    visit(root, base: 0, load, body)
  }

  private func visit(
    _ table: PageTable, base: UInt64, _ load: Load, _ body: (UInt64) -> Void
  ) {
    let level = table.level
    for child in table.children {
      // The keys of PD0 are twice the slot, for large and for small pages.
      let slot = level == .pd0 ? child.key / 2 : child.key
      visit(child.table, base: base + UInt64(slot) << level.shift, load, body)
    }
    guard level == .pd0 || level == .pt64K || level == .pt4K else { return }
    let pages = UInt64(1) << (level.shift - UInt64(PageSize.shift))
    let stride = level.entryBytes / 8
    let words = load(table.memory.address, stride * level.entryCount)
    for slot in 0..<level.entryCount {
      let word = words[stride * slot]
      // In PD0 a pointer to a table has the bit clear.
      guard NV_MMU_VER2.PTE_VALID.get(word) == 1 else { continue }
      let first = base >> UInt64(PageSize.shift) + UInt64(slot) * pages
      for page in first..<first + pages { body(page) }
    }
  }
}
