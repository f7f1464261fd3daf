package import Base
package import LinuxMM

/// 2 MiB of VRAM handed out page by page, with the `struct page`s that stand for it on the host.
///
/// Kernel: struct nouveau_dmem_chunk (nouveau_dmem.c)
///
/// INVARIANT: `inUse` is the number of clear bits in `free`; a page is in use from the moment it is
/// taken until `page_free` has run for it.
package final class DmemChunk {
  /// Pages in a chunk. Kernel: DMEM_CHUNK_NPAGES
  package static let pages = PageSize.pagesPerHuge
  private static let words = pages / 64

  /// The VRAM behind the chunk, pinned while the chunk lives.
  package let buffer: BufferObject
  /// The host's page numbers, one for each page of VRAM.
  package let range: PFNRange
  /// Set right after the chunk is made; the pagemap needs the chunk for its callbacks.
  package let pagemap: DevicePagemap
  /// Where in BAR1 other GPUs reach it; nil until one does.
  var window: GPUVirtualAddress?
  private var free: [UInt64]
  /// Pages in use. Kernel: nouveau_dmem_chunk.callocated
  package private(set) var inUse = 0
  /// Index in the list of chunks.
  var position = 0
  /// Being evicted or given back: no page is handed out any more.
  package var isClosing = false

  package init(buffer: BufferObject, pagemap: DevicePagemap) {
    self.buffer = buffer
    self.pagemap = pagemap
    range = pagemap.range
    free = [UInt64](repeating: ~0, count: Self.words)
  }

  package var freePages: Int { isClosing ? 0 : Self.pages - inUse }

  /// Takes the lowest free page, so that pages taken in a row lie in a row and share a launch.
  package func take() -> PFN? { takeRun(upTo: 1)?.start }

  /// Takes free pages in a row, at most `wanted`, from the lowest free one on.
  package func takeRun(upTo wanted: Int) -> PFNRange? {
    guard freePages > 0 else { return nil }
    guard let word = free.firstIndex(where: { $0 != 0 }) else {
      invariantFailed("chunk \(range.start) counts \(inUse) pages in use but has none free")
    }
    let first = word * 64 + free[word].trailingZeroBitCount
    var end = first
    while end < Self.pages, end - first < wanted {
      let bits = Self.bits(from: end, upTo: first + wanted - end) & free[end / 64]
      // Free pages from `end` on without a gap.
      let count = (~(bits >> UInt64(end % 64))).trailingZeroBitCount
      if count == 0 { break }
      free[end / 64] &= ~Self.bits(from: end, upTo: count)
      end += count
      if end % 64 != 0 { break }
    }
    inUse += end - first
    return PFNRange(start: range.start + first, count: end - first)
  }

  /// Returns a page; traps when it is free already or not of this chunk.
  package func giveBack(_ page: PFN) { giveBack(PFNRange(start: page, count: 1)) }

  /// Returns pages in a row; traps when one is free already or not of this chunk.
  package func giveBack(_ pages: PFNRange) {
    var first = index(of: pages.start)
    let end = first + pages.count
    invariant(end <= Self.pages, "\(pages) is not of chunk \(range.start)")
    while first < end {
      let mask = Self.bits(from: first, upTo: end - first)
      invariant(free[first / 64] & mask == 0, "a device page of \(pages) freed twice")
      free[first / 64] |= mask
      first = (first / 64 + 1) * 64
    }
    inUse -= pages.count
  }

  /// The bits of at most `count` pages from `index` on, as far as they lie in its word.
  private static func bits(from index: Int, upTo count: Int) -> UInt64 {
    let bit = index % 64
    let width = min(count, 64 - bit)
    return (~0 >> UInt64(64 - width)) << UInt64(bit)
  }

  /// Whether the page is handed out.
  package func isInUse(_ page: PFN) -> Bool {
    let index = self.index(of: page)
    return free[index / 64] & (1 << UInt64(index % 64)) == 0
  }

  /// Runs of pages in use, numbered from the chunk's first.
  var occupiedRuns: [Range<Int>] {
    var runs: [Range<Int>] = []
    for page in 0..<Self.pages where free[page / 64] & (1 << UInt64(page % 64)) == 0 {
      if let last = runs.last, last.upperBound == page {
        runs[runs.count - 1] = last.lowerBound..<(page + 1)
      } else {
        runs.append(page..<(page + 1))
      }
    }
    return runs
  }

  /// Where the page's bytes lie now. The buffer may lie elsewhere after a resume, so the address is
  /// never kept. Kernel: nouveau_dmem_page_addr
  package func address(of page: PFN) -> VRAMAddress {
    buffer.offset + UInt64(index(of: page) * PageSize.bytes)
  }

  /// Where the page's bytes are, also while the device sleeps: in VRAM, or in a system page; nil
  /// for a page whose bytes nobody keeps.
  package func place(of page: PFN) -> (vram: VRAMAddress?, system: PFN?)? {
    let index = index(of: page)
    if let backing = buffer.backing {
      return backing.pages.first { $0.index == index }.map { (nil, $0.pfn) }
    }
    return buffer.currentAddress.map { ($0 + UInt64(index * PageSize.bytes), nil) }
  }

  private func index(of page: PFN) -> Int {
    let index = page.index - range.start.index
    invariant(index >= 0 && index < Self.pages, "page \(page) is not of chunk \(range.start)")
    return index
  }
}
