public import Base
import KernelRuntime

// Mappings of hugetlb pages. A huge page is mapped by the 512 entries of one leaf table, each of
// them special: no walker counts or moves such a page by itself. It counts in no rss, as in Linux.
extension AddressSpace {
  /// Maps huge pages of the pool, `bytes` rounded up (`mmap` with `MAP_HUGETLB`, or of a file of
  /// `hugetlbfs`).
  ///
  /// They are promised now, so that no first touch goes without. Copies after a fork are not
  /// promised. When the pool is empty the process that made the mapping takes the page from its
  /// children, who get SIGBUS (`ENOMEM`) from then on; a child's write gets SIGBUS.
  ///
  /// - Parameters:
  ///   - file: whose pages; without one, memory that only this mapping and its children know.
  ///   - offset: where in the file, in bytes.
  ///
  /// `EINVAL` for no bytes, an offset or an address that isn't aligned to 2 MiB; `EOVERFLOW` when
  /// the range ends beyond the longest file; `ENOMEM` when the pool has too few pages or the
  /// process no room; `EEXIST` when something is mapped there.
  public func mapHugetlb(
    _ file: HugetlbFile? = nil, offset: UInt64 = 0, bytes: UInt64, _ protection: Protection,
    shared: Bool = false, at: VirtualAddress? = nil
  ) async throws(KernelError) -> VirtualAddress {
    let size = UInt64(HugePage.bytes)
    guard bytes > 0, offset & (size - 1) == 0, at.map({ $0.isAligned(to: size) }) ?? true
    else { throw .EINVAL }
    guard bytes <= VirtualRange.user.bytes, !isExiting else { throw .ENOMEM }
    guard offset <= MappedFile.sizeLimit, bytes <= MappedFile.sizeLimit - offset else {
      throw .EOVERFLOW
    }
    let count = (bytes + size - 1) / size
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    let range = try findPlace(count * size, at)
    let vma = VMA(
      self, range, protection, shared ? [.hugetlb, .shared] : .hugetlb, "",
      pageOffset: offset >> UInt64(PageSize.shift))
    let indices = vma.hugetlbIndices
    if shared {
      let memory =
        file ?? manager.makeHugetlbFile("anon_hugepage", bytes: bytes, isUnlinked: true)
      memory.join()
      do throws(KernelError) {
        try memory.reserve(indices)
      } catch {
        memory.leave()
        throw error
      }
      vma.hugetlbFile = memory
    } else {
      try manager.reserveHugetlb(Int(count))
      let promise = HugetlbPromise()
      for index in indices { promise.add(index) }
      vma.hugetlbPromise = promise
      vma.hugetlbFile = file
      file?.join()
    }
    // A mapping for writing makes the file long enough.
    if let file, protection.contains(.write), Int(indices.upperBound) > file.hugePages {
      file.hugePages = Int(indices.upperBound)
    }
    insert(vma)
    return range.start
  }

  /// Whether an end of `range` would cut a hugetlb page in two, which nothing may
  /// (`hugetlb_vm_op_split`).
  func splitsHugetlb(_ range: VirtualRange) -> Bool {
    [range.start, range.end].contains {
      $0 != HugePage.base($0) && find($0)?.flags.contains(.hugetlb) == true
    }
  }

  /// Drops the pages of a part of a hugetlb mapping (`unmap_hugepage_range`).
  ///
  /// The process that was promised a page of its own is promised it again when nobody else uses it.
  ///
  /// LOCKING: as for ``zap(_:)``.
  func dropHugetlb(_ vma: VMA, _ part: VirtualRange) {
    var base = part.start
    while base < part.end {
      if let first = leafSlot(base), let head = manager.tables.entries[first].hugetlbHead {
        let record = manager.pages[head]
        emptyHugetlb(first)
        manager.removeHugetlbMapping(head)
        if let promise = vma.hugetlbPromise, record.anonymous.isAnonymous, record.references == 1 {
          promise.add(vma.hugetlbIndex(base))
          manager.hugetlb.reserved += 1
        }
      }
      base += UInt64(HugePage.bytes)
    }
  }

  /// Empties the entries of one huge page.
  func emptyHugetlb(_ first: Int) {
    for slot in first..<first + HugePage.pages { manager.tables.entries[slot] = .none }
    flushTranslations(pages: HugePage.pages)
  }
}

extension VMA {
  /// The mapping goes: what it was promised and has not touched is free for others
  /// (`hugetlb_vm_op_close`).
  func leaveHugetlb() {
    if let promise = hugetlbPromise {
      space.manager.hugetlb.reserved -= promise.remove(hugetlbIndices)
    }
    hugetlbPromise = nil
    hugetlbFile?.leave()
    hugetlbFile = nil
  }
}

extension PageTableEntry {
  /// Whether a page of the hugetlb pool is mapped.
  var isHugetlb: Bool { has(Bit.present | Bit.special | Bit.huge) }

  /// The first page of a hugetlb page, in the first of its 512 entries; nil in all others.
  var hugetlbHead: Int? {
    isHugetlb && frame.index & HugePage.mask == 0 ? frame.index : nil
  }
}
