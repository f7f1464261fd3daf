public import Base
import KernelRuntime

extension MappedFile {
  /// Moves the end of the file (`truncate_setsize`).
  ///
  /// Pages beyond the new end leave every mapping, private copies too: a touch gets SIGBUS. A page
  /// that the end falls into reads as zeroes from there on.
  ///
  /// `EACCES` for a file opened for reading, `EOVERFLOW` beyond the longest file.
  public func truncate(to bytes: UInt64) async throws(KernelError) {
    guard !isReadOnly else { throw .EACCES }
    guard bytes <= Self.sizeLimit else { throw .EOVERFLOW }
    let old = size
    // First of all: from now on no fault beyond the end is served.
    size = bytes
    guard bytes < old else { return }
    let gone = pageCount..<UInt64.max
    await unmapMappings(gone, copiesToo: true)
    await clearPart(bytes..<pageCount << UInt64(PageSize.shift))
    await removePages(gone, withBlocks: true)
    // A private copy may have been made of a page that was found before the end moved.
    await unmapMappings(gone, copiesToo: true)
  }

  /// Makes `range`, in bytes, read as zeroes and frees its whole pages (`fallocate`,
  /// `FALLOC_FL_PUNCH_HOLE`); the size stays.
  ///
  /// Private copies stay: they are no longer the file's. `EINVAL` for an empty range, `EACCES` for
  /// a file opened for reading.
  public func punchHole(_ range: Range<UInt64>) async throws(KernelError) {
    guard !range.isEmpty else { throw .EINVAL }
    guard !isReadOnly else { throw .EACCES }
    let shift = UInt64(PageSize.shift)
    let first = PageSize.pages(forBytes: range.lowerBound)
    let end = range.upperBound >> shift
    if first < end {
      await clearPart(range.lowerBound..<first << shift)
      await clearPart(end << shift..<range.upperBound)
      await unmapMappings(first..<end, copiesToo: false)
      await removePages(first..<end, withBlocks: true)
    } else if range.lowerBound >> shift == end {
      await clearPart(range)
    } else {
      // Two pages, neither of them whole.
      await clearPart(range.lowerBound..<end << shift)
      await clearPart(end << shift..<range.upperBound)
    }
  }

  /// Clears bytes of one page, in the cache and on the disk (`truncate_inode_partial_folio`).
  private func clearPart(_ range: Range<UInt64>) async {
    guard !range.isEmpty else { return }
    let index = range.lowerBound >> UInt64(PageSize.shift)
    if swapped[index] != nil, let page = try? await fetch(index) {
      manager.unlock(page)
      manager.put(page)
    }
    let offset = Int(range.lowerBound & UInt64(PageSize.bytes - 1))
    let page = cache[index]
    if let page {
      manager.get(page)
      await manager.lock(page)
      if holds(page, index) {
        manager.ram.fill(0, at: page.index << PageSize.shift + offset, length: range.count)
      }
    }
    if var block = blocks[index] {
      for place in offset..<offset + range.count { block[place] = 0 }
      blocks[index] = block
    }
    if let page {
      manager.unlock(page)
      manager.put(page)
    }
  }

  /// Takes pages out of the cache, each one locked and unmapped (`truncate_inode_pages_range`).
  func removePages(_ range: Range<UInt64>, withBlocks: Bool) async {
    while let (index, pfn) = cache.first(in: range) {
      manager.get(pfn)
      await manager.lock(pfn)
      if holds(pfn, index) {
        // Unmapped before, but a fault that was faster may have mapped it again.
        while manager.mapCount(pfn) > 0 {
          await unmapMappings(index..<index + 1, copiesToo: false)
        }
        removePage(pfn, index)
        // At once with the page, so that nobody reads the old bytes back in.
        if withBlocks { blocks[index] = nil }
      }
      manager.unlock(pfn)
      manager.put(pfn)
    }
    dropSwapped(range)
    if withBlocks { blocks.removeAll(in: range) }
  }

  /// Empties the entries of every mapping for pages of `range` (`unmap_mapping_pages`).
  func unmapMappings(_ range: Range<UInt64>, copiesToo: Bool) async {
    for vma in mappings {
      // While a mirror slept the mapping may have gone, and its process with it.
      guard let part = part(of: vma, range) else { continue }
      let space = vma.space
      let event = NotifierEvent(.clear, part)
      await space.invalidateStart(event)
      if let still = self.part(of: vma, range)?.intersection(part) {
        if copiesToo {
          space.zapKeepingProtection(vma, still)
        } else {
          space.zapFilePages(still)
        }
      }
      space.invalidateEnd(event)
    }
  }

  /// The addresses at which a mapping of this file shows pages of `range`.
  private func part(of vma: VMA, _ range: Range<UInt64>) -> VirtualRange? {
    guard mappings.contains(where: { $0 === vma }) else { return nil }
    let first = max(range.lowerBound, vma.pageOffset)
    let end = min(range.upperBound, vma.pageOffset + UInt64(vma.range.pages))
    guard first < end else { return nil }
    let start = vma.start + (first - vma.pageOffset) << UInt64(PageSize.shift)
    return VirtualRange(start: start, pages: Int(end - first))
  }
}
