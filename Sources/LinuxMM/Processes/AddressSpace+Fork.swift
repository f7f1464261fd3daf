public import Base
import KernelRuntime

extension AddressSpace {
  /// A child process with a copy of this one's memory (`dup_mmap`).
  ///
  /// Pages of private mappings, in RAM or on a device, are shared until one side writes (R44);
  /// pages that are pinned for a device are copied at once, so that the device keeps the parent's.
  ///
  /// `ESRCH` once the process has exited. `EBUSY` when a device is just taking a page for itself
  /// alone; pages that one has already go back to the CPU first. `ENOMEM` when a page or a
  /// page table can't be had: there is no child then, and the parent sees its bytes as before.
  public func fork(_ name: String) async throws(KernelError) -> AddressSpace {
    guard !isExiting else { throw .ESRCH }
    let child = try manager.createAddressSpace(name)
    child.group = group
    child.lockLimit = lockLimit
    await mmapLock.lock()
    await child.mmapLock.lock()
    var failure: KernelError?
    do throws(KernelError) {
      for vma in mappings where !vma.flags.contains(.dontFork) {
        let copy = child.adopt(vma)
        if vma.needsCopyOfEntries { try await copyEntries(of: vma, to: copy) }
      }
    } catch {
      failure = error
    }
    child.mmapLock.unlock()
    mmapLock.unlock()
    for watch in child.inheritedWatches {
      if failure == nil { await watch.parent.post(.fork(watch.child)) }
    }
    child.inheritedWatches = []
    guard let failure else { return child }
    await child.exit()
    throw failure
  }

  /// Puts a copy of another process's mapping at the end of the list (`vm_area_dup`,
  /// `anon_vma_fork`).
  ///
  /// It joins the same region and file, so that the reverse map finds the pages that both
  /// will share.
  private func adopt(_ vma: VMA) -> VMA {
    let copy = vma.duplicate(
      in: self, vma.range, pageOffset: vma.pageOffset,
      withPages: !vma.flags.contains(.wipeOnFork))
    copy.flags = vma.flags.inherited
    inheritUserfault(copy, from: vma)
    mappings.append(copy)
    return copy
  }

  /// Copies the entries of one mapping, table by table (`copy_page_range`).
  ///
  /// LOCKING: both processes' `mmapLock` held for writing.
  private func copyEntries(of vma: VMA, to copy: VMA) async throws(KernelError) {
    let event = NotifierEvent(.protectionPage, vma.range)
    // Mirrors lose the right to write, which only matters where a copy follows a write.
    let notifies = vma.isCopyOnWrite
    if notifies {
      await invalidateStart(event)
      writeProtectSequence += 1
    }
    defer {
      if notifies {
        writeProtectSequence += 1
        invalidateEnd(event)
      }
    }
    if vma.flags.contains(.hugetlb) { return try await copyHugetlb(of: vma, to: copy.space) }
    var address = vma.start
    while address < vma.end {
      let end = min(Self.tableEnd(address, PageTableLevel.leafShift), vma.end)
      if try copyHugeEntry(address, to: copy.space) {
        address = end
        await kernel.point()
        continue
      }
      let from = leafTable(address)
      if from != 0 {
        let to = try copy.space.makeLeafTable(address)
        try await copyTable(
          from, to, VirtualRange(address, end), EntryCopier(self, vma, copy.space))
        await kernel.point()
      }
      address = end
    }
  }

  /// Copies the part of one table (`copy_pte_range`).
  private func copyTable(
    _ from: Int, _ to: Int, _ part: VirtualRange, _ copier: EntryCopier
  ) async throws(KernelError) {
    let source = manager.tables.block(from)
    let target = manager.tables.block(to)
    var changed = 0
    var slot = PageTableLevel.leafIndex(part.start)
    for _ in 0..<part.pages {
      var spare: PFN?
      while !source[slot].isNone {
        switch copier.duplicate(source, target, slot) {
        case .copied(let protected):
          if protected { changed += 1 }
        case .needsPage:
          guard let page = spare else {
            spare = try await manager.allocatePage(for: copier.child)
            // The allocation may sleep: look at the entry again.
            await kernel.point()
            continue
          }
          copier.copyPage(source, target, slot, to: page)
          spare = nil
        case .isBusy:
          if let spare { manager.put(spare) }
          throw .EBUSY
        }
        break
      }
      if let spare { manager.put(spare) }
      slot += 1
    }
    if changed > 0 { flushTranslations(pages: changed) }
  }
}

extension VMA {
  /// Whether a write to a page that others see makes a copy (`is_cow_mapping`).
  var isCopyOnWrite: Bool { !flags.contains(.shared) }

  /// Whether a fault would not fill the child's entries in the same way (`vma_needs_copy`).
  var needsCopyOfEntries: Bool {
    if flags.contains(.wipeOnFork) { return false }
    if flags.contains(.hugetlb) { return isCopyOnWrite }
    return anonymous != nil || isSpecial || flags.contains(.userfaultWriteProtect)
  }
}

extension VMA.Flags {
  /// What a child's mapping keeps: nobody watches it, and nothing is locked in memory
  /// (`dup_userfaultfd`, `VM_LOCKED_MASK`).
  var inherited: VMA.Flags {
    subtracting(.userfault).subtracting([.locked, .lockedOnFault])
  }
}
