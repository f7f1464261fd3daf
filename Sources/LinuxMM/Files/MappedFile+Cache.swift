public import Base
import KernelRuntime

// Pages enter the cache locked, are found in it, and leave it locked and unmapped.
extension MappedFile {
  /// The page at `index`, locked, with a reference for the caller; read from the disk when it is
  /// not there (`filemap_fault`, `shmem_fault`).
  ///
  /// `EINVAL` beyond the end, `ENOMEM` without a page, `EIO` when the disk fails,
  /// `EHWPOISON` when the memory of the page is broken and the disk has no copy.
  ///
  /// A new page is charged to the group of `space`.
  func fetch(_ index: UInt64, for space: AddressSpace? = nil) async throws(KernelError) -> PFN {
    while index < pageCount {
      if let pfn = cache[index] {
        manager.get(pfn)
        await manager.lock(pfn)
        // While we slept the page may have left the cache, and the end may have come closer.
        let isHeld = holds(pfn, index) && index < pageCount
        if isHeld && !manager.isPoisoned(pfn) { return pfn }
        manager.unlock(pfn)
        manager.put(pfn)
        if isHeld { throw .EHWPOISON }
        continue
      }
      if let slot = swapped[index] {
        if let pfn = try await readSwapped(index, slot, for: space) { return pfn }
        continue
      }
      let pfn = try await manager.allocatePage(for: space)
      // The allocation may have slept.
      guard !hasPage(index), index < pageCount else {
        manager.put(pfn)
        continue
      }
      insertPage(pfn, index)
      do throws(KernelError) {
        try await readPage(pfn, index)
      } catch {
        removePage(pfn, index)
        manager.unlock(pfn)
        manager.put(pfn)
        throw error
      }
      return pfn
    }
    throw .EINVAL
  }

  /// Whether the page is the one of the cache at `index`.
  func holds(_ pfn: PFN, _ index: UInt64) -> Bool {
    manager.pages[pfn.index].anonymous == AnonymousPlace(file: number, index: index)
  }

  /// Puts a new page into the cache, locked (`filemap_add_folio`).
  func insertPage(_ pfn: PFN, _ index: UInt64) {
    let pages = manager.pages
    pages[pfn.index].anonymous = AnonymousPlace(file: number, index: index)
    pages[pfn.index].flags.formUnion([.locked, .pageCache])
    if kind == .sharedMemory { pages[pfn.index].flags.insert(.sharedMemory) }
    pages[pfn.index].references += 1
    cache[index] = pfn
    manager.lru.add(pfn.index, cpu: manager.currentCPU)
  }

  /// Takes a page out of the cache and drops the cache's reference (`filemap_remove_folio`).
  ///
  /// LOCKING: the page's lock held, or nobody else can reach the file.
  func removePage(_ pfn: PFN, _ index: UInt64) {
    let pages = manager.pages
    invariant(pages[pfn.index].mappings == 0, "page \(pfn) leaves the page cache while mapped")
    pages[pfn.index].anonymous = .none
    pages[pfn.index].flags.subtract([.pageCache, .sharedMemory, .dirty])
    cache[index] = nil
    manager.drop(pfn.index)
  }

  /// A page takes another's place, with its bytes, as the end of a migration
  /// (`folio_migrate_mapping`).
  func replacePage(_ old: Int, by new: Int) {
    let pages = manager.pages
    let place = pages[old].anonymous
    pages[new].anonymous = place
    pages[new].flags.formUnion(pages[old].flags.intersection([.pageCache, .sharedMemory]))
    pages[old].flags.subtract([.pageCache, .sharedMemory])
    pages[new].references += 1
    pages[old].references -= 1
    cache[place.index] = PFN(UInt64(new))
  }

  /// Fills a new page with what the disk holds.
  private func readPage(_ pfn: PFN, _ index: UInt64) async throws(KernelError) {
    if kind == .regular {
      await manager.kernel.point()
      try manager.failures.check(.fileRead)
    }
    if let block = blocks[index] {
      manager.ram.store(bytes: block, at: pfn.index << PageSize.shift)
    } else {
      manager.clear(pfn)
    }
    manager.pages[pfn.index].flags.insert(.uptodate)
  }

  /// The page will have to be written back (`folio_mark_dirty`).
  func markDirty(_ pfn: PFN) { manager.pages[pfn.index].flags.insert(.dirty) }

  /// Reads bytes through the cache (`filemap_read`); fewer than asked for at the end of the file.
  ///
  /// Errors as for a fault: `ENOMEM`, `EIO`.
  public func read(_ offset: UInt64, count: Int) async throws(KernelError) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count, offset + UInt64(bytes.count) < size {
      let here = offset + UInt64(bytes.count)
      let inPage = Int(here & UInt64(PageSize.bytes - 1))
      let length = min(count - bytes.count, PageSize.bytes - inPage, Int(size - here))
      let pfn = try await fetch(here >> UInt64(PageSize.shift))
      bytes += manager.ram.bytes(at: pfn.index << PageSize.shift + inPage, count: length)
      manager.unlock(pfn)
      manager.put(pfn)
    }
    return bytes
  }

  /// Writes bytes through the cache, moving the end when they go beyond (`generic_perform_write`).
  ///
  /// `EACCES` for a file opened for reading, `EOVERFLOW` beyond the longest file; `ENOMEM`, `EIO`
  /// as for a fault, with the pages before the failing one written.
  public func write(_ offset: UInt64, _ bytes: [UInt8]) async throws(KernelError) {
    guard !isReadOnly else { throw .EACCES }
    let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
    guard !overflow, end <= Self.sizeLimit else { throw .EOVERFLOW }
    var done = 0
    while done < bytes.count {
      let here = offset + UInt64(done)
      let inPage = Int(here & UInt64(PageSize.bytes - 1))
      let length = min(bytes.count - done, PageSize.bytes - inPage)
      let oldSize = size
      size = max(size, here + UInt64(length))
      let pfn: PFN
      do throws(KernelError) {
        pfn = try await fetch(here >> UInt64(PageSize.shift))
      } catch {
        if size == max(oldSize, here + UInt64(length)) { size = oldSize }
        throw error
      }
      manager.ram.store(
        bytes: Array(bytes[done..<done + length]), at: pfn.index << PageSize.shift + inPage)
      markDirty(pfn)
      manager.unlock(pfn)
      manager.put(pfn)
      done += length
    }
  }
}
