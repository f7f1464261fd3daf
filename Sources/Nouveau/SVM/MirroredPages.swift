import Base
import LinuxMM

/// What one process's GPU page tables map, as the driver remembers it: for each page nothing, a
/// page of VRAM, or a page of RAM with the bus address that has to be unmapped one day.
///
/// Kept by blocks of 2 MiB, so that "is anything of this range mapped" costs one look a block.
struct MirroredPages {
  private static let pages = PageSize.pagesPerHuge
  /// A slot's values: 0 none, 1 VRAM, else a bus address (page aligned, so never 1).
  private static let none: UInt64 = 0
  private static let vram: UInt64 = 1

  private struct Block {
    var slots = [UInt64](repeating: none, count: pages)
    var live = 0
  }

  private var blocks: [UInt64: Block] = [:]
  /// Pages mapped now.
  private(set) var live = 0
  /// Of these, pages of RAM.
  private(set) var inRAM = 0

  /// Takes note that a page is mapped; it must not be mapped yet. A nil address is a page of VRAM.
  mutating func insert(_ page: UInt64, _ address: DMAAddress?) {
    let slot = Int(page % UInt64(Self.pages))
    var block = blocks.removeValue(forKey: page / UInt64(Self.pages)) ?? Block()
    invariant(block.slots[slot] == Self.none, "GPU page 0x\(String(page, radix: 16)) mapped twice")
    block.slots[slot] = address?.rawValue ?? Self.vram
    block.live += 1
    blocks[page / UInt64(Self.pages)] = block
    live += 1
    if address != nil { inRAM += 1 }
  }

  /// Takes note that pages of VRAM in a row are mapped.
  mutating func insertVRAM(_ first: UInt64, count: Int) {
    var index = 0
    while index < count {
      let page = first + UInt64(index)
      let number = page / UInt64(Self.pages)
      let slot = Int(page % UInt64(Self.pages))
      let run = min(count - index, Self.pages - slot)
      var block = blocks.removeValue(forKey: number) ?? Block()
      for place in slot..<(slot + run) {
        invariant(block.slots[place] == Self.none, "a page moves to the device while it is mapped")
        block.slots[place] = Self.vram
      }
      block.live += run
      live += run
      blocks[number] = block
      index += run
    }
  }

  /// Whether a page is mapped.
  func contains(_ page: UInt64) -> Bool {
    blocks[page / UInt64(Self.pages)].map {
      $0.slots[Int(page % UInt64(Self.pages))] != Self.none
    } ?? false
  }

  /// Whether any page of the range is mapped.
  func intersects(_ range: VirtualRange) -> Bool {
    if live == 0 { return false }
    return !mappedRuns(in: range).isEmpty
  }

  /// The runs of mapped pages in a range, in order of address.
  func mappedRuns(in range: VirtualRange) -> [Range<UInt64>] {
    var runs: [Range<UInt64>] = []
    let end = PageSize.pages(forBytes: range.end.rawValue)
    forEachBlock(range.start.page, end) { number, block in
      let base = number * UInt64(Self.pages)
      let low = max(range.start.page, base)
      let high = min(end, base + UInt64(Self.pages))
      for page in low..<high where block.slots[Int(page - base)] != Self.none {
        if let last = runs.last, last.upperBound == page {
          runs[runs.count - 1] = last.lowerBound..<(page + 1)
        } else {
          runs.append(page..<(page + 1))
        }
      }
    }
    return runs
  }

  /// Visits every mapped page by number; the address is nil for a page of VRAM.
  func visit(_ body: (UInt64, DMAAddress?) -> Void) {
    for number in blocks.keys.sorted() {
      guard let block = blocks[number] else { continue }
      for slot in 0..<Self.pages where block.slots[slot] != Self.none {
        let value = block.slots[slot]
        body(
          number * UInt64(Self.pages) + UInt64(slot), value == Self.vram ? nil : DMAAddress(value))
      }
    }
  }

  /// Forgets the pages of a range; the bus addresses that are to be unmapped now.
  mutating func remove(_ runs: [Range<UInt64>]) -> [DMAAddress] {
    var addresses: [DMAAddress] = []
    for run in runs {
      var page = run.lowerBound
      while page < run.upperBound {
        let number = page / UInt64(Self.pages)
        let end = min(run.upperBound, (number + 1) * UInt64(Self.pages))
        if var block = blocks.removeValue(forKey: number) {
          for slot in Int(page % UInt64(Self.pages))..<Int(end - number * UInt64(Self.pages)) {
            let value = block.slots[slot]
            if value == Self.none { continue }
            block.slots[slot] = Self.none
            block.live -= 1
            live -= 1
            if value != Self.vram {
              addresses.append(DMAAddress(value))
              inRAM -= 1
            }
          }
          if block.live > 0 { blocks[number] = block }
        }
        page = end
      }
    }
    return addresses
  }

  /// Visits the blocks of a range of page numbers in order: by number when the range is short, else
  /// by the sorted numbers that exist.
  private func forEachBlock(_ start: UInt64, _ end: UInt64, _ body: (UInt64, Block) -> Void) {
    guard start < end, live > 0 else { return }
    let first = start / UInt64(Self.pages)
    let last = (end - 1) / UInt64(Self.pages)
    if last - first <= UInt64(blocks.count) {
      for number in first...last {
        if let block = blocks[number] { body(number, block) }
      }
    } else {
      for number in blocks.keys.sorted() where number >= first && number <= last {
        if let block = blocks[number] { body(number, block) }
      }
    }
  }
}
