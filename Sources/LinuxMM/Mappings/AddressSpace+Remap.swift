public import Base
import KernelRuntime

extension AddressSpace {
  /// Grows, shrinks or moves a mapping with its pages, wherever they are (`mremap`).
  ///
  /// - Parameters:
  ///   - oldBytes: 0 for a second view of a shared mapping.
  ///   - to: where, with `fixed`; with `dontUnmap` alone the core chooses.
  ///
  /// `EINVAL`: an address that isn't page aligned, no new bytes, flags that contradict each other,
  /// a target that overlaps the source, a second view of private memory, `dontUnmap` of a driver's
  /// frames or of hugetlb pages, a part of a hugetlb page or more of them, a file longer than can
  /// be. `EFAULT`: the source isn't one mapping, or a driver's that can't grow. `ENOMEM`: no room,
  /// or no page table. Nothing is changed then, except that for the want of a page table the place
  /// of a `fixed` target has been emptied.
  @discardableResult
  public func remap(
    _ address: VirtualAddress, oldBytes: UInt64, newBytes: UInt64, _ flags: RemapFlags = [],
    to target: VirtualAddress? = nil
  ) async throws(KernelError) -> VirtualAddress {
    let limit = VirtualRange.user.bytes
    guard address.isPageAligned, oldBytes <= limit, newBytes > 0, newBytes <= limit else {
      throw .EINVAL
    }
    let old = PageSize.pages(forBytes: oldBytes) << UInt64(PageSize.shift)
    let new = PageSize.pages(forBytes: newBytes) << UInt64(PageSize.shift)
    let moves = !flags.isDisjoint(with: [.fixed, .dontUnmap])
    guard !moves || flags.contains(.mayMove), !flags.contains(.dontUnmap) || old == new,
      flags.contains(.fixed) == (target != nil), address.rawValue <= limit - old
    else { throw .EINVAL }
    if let target {
      guard target.isPageAligned, target.rawValue <= limit - new,
        !VirtualRange(start: target, bytes: new).overlaps(
          VirtualRange(start: address, bytes: old))
      else { throw .EINVAL }
    }
    await mmapLock.lock()
    let watch = find(address)?.userfault
    let place: VirtualAddress
    do throws(KernelError) {
      place = try await remapLocked(address, old, new, flags, to: target)
    } catch {
      mmapLock.unlock()
      throw error
    }
    mmapLock.unlock()
    if place != address {
      await announceMove(watch, from: VirtualRange(start: address, bytes: old), to: place)
    }
    return place
  }

  /// LOCKING: `mmapLock` held for writing.
  private func remapLocked(
    _ address: VirtualAddress, _ old: UInt64, _ new: UInt64, _ flags: RemapFlags,
    to target: VirtualAddress?
  ) async throws(KernelError) -> VirtualAddress {
    let moves = !flags.isDisjoint(with: [.fixed, .dontUnmap])
    guard let vma = find(address) else { throw .EFAULT }
    // A pool's pages move whole, and their promise doesn't grow.
    guard !vma.flags.contains(.hugetlb) || new <= old,
      !splitsHugetlb(VirtualRange(start: address, bytes: old)),
      !splitsHugetlb(VirtualRange(start: address, bytes: new)),
      !vma.flags.contains(.hugetlb) || target.map({ $0 == HugePage.base($0) }) ?? true,
      target.map({ !splitsHugetlb(VirtualRange(start: $0, bytes: new)) }) ?? true
    else { throw .EINVAL }
    if old >= new && !moves {
      if old > new { await unmapLocked(VirtualRange(address + new, address + old)) }
      return address
    }
    try check(vma, address, min(old, new), new, flags)
    if !moves && grow(vma, address, old, new) { return address }
    guard flags.contains(.mayMove) else { throw .ENOMEM }
    return try await move(vma, address, min(old, new), new, flags, to: target, rest: old)
  }

  /// What keeps a mapping from being resized (`vma_to_resize`).
  private func check(
    _ vma: VMA, _ address: VirtualAddress, _ old: UInt64, _ new: UInt64, _ flags: RemapFlags
  ) throws(KernelError) {
    guard old > 0 || vma.flags.contains(.shared) else { throw .EINVAL }
    if flags.contains(.dontUnmap) && !vma.flags.isDisjoint(with: [.special, .hugetlb]) {
      throw .EINVAL
    }
    guard old <= vma.end.rawValue - address.rawValue else { throw .EFAULT }
    if old >= new { return }
    guard !vma.isSpecial else { throw .EFAULT }
    let end = vma.index(of: address) + new >> UInt64(PageSize.shift)
    guard vma.file == nil || end <= MappedFile.sizeLimit >> UInt64(PageSize.shift) else {
      throw .EINVAL
    }
  }

  /// Grows a mapping at its end, when it ends there and has room (`vma_expandable`).
  private func grow(_ vma: VMA, _ address: VirtualAddress, _ old: UInt64, _ new: UInt64) -> Bool {
    guard address + old == vma.end, address.rawValue <= VirtualRange.user.end.rawValue - new,
      !isMapped(VirtualRange(vma.end, address + new))
    else { return false }
    vma.range = VirtualRange(vma.start, address + new)
    merge(around: vma.range)
    return true
  }

  /// Moves a part of a mapping (`move_vma`).
  ///
  /// - Parameter rest: the old length, of which what lies beyond `length` is unmapped.
  private func move(
    _ vma: VMA, _ address: VirtualAddress, _ length: UInt64, _ newLength: UInt64,
    _ flags: RemapFlags, to target: VirtualAddress?, rest: UInt64
  ) async throws(KernelError) -> VirtualAddress {
    let place: VirtualAddress
    if let target {
      await unmapLocked(VirtualRange(start: target, bytes: newLength))
      place = target
    } else {
      guard let room = findRoom(newLength) else { throw .ENOMEM }
      place = room
    }
    if rest > length {
      await unmapLocked(VirtualRange(address + length, address + rest))
    }
    let source = VirtualRange(start: address, bytes: length)
    if !source.isEmpty {
      await splitHugeEnds(source)
      isolate(source)
    }
    guard let old = find(address) else { invariantFailed("\(source) went while it was moved") }
    let range = VirtualRange(start: place, bytes: newLength)
    // Without pages there is nothing to find, and its own place lets it merge more easily.
    let isFresh = old.isAnonymous && old.anonymous == nil
    let copy = old.duplicate(
      in: self, range, pageOffset: isFresh ? place.page : old.index(of: address))
    if old.userfault?.features.contains(.eventRemap) != true {
      copy.userfault = nil
      copy.flags.subtract(.userfault)
    }
    insert(copy)
    do throws(KernelError) {
      try await moveEntries(source, to: place, keepsProtection: copy.userfault != nil)
    } catch {
      copy.hugetlbPromise = nil
      removeMappings(range)
      merge(around: source)
      throw error
    }
    // What was promised moved along (`clear_vma_resv_huge_pages`).
    old.hugetlbPromise = nil
    if flags.contains(.dontUnmap) {
      // Its pages are gone: those to come are nobody else's, and not locked.
      old.anonymous?.leave(old)
      old.anonymous = nil
      old.flags.subtract([.locked, .lockedOnFault])
    } else if !source.isEmpty {
      await unmapLocked(source)
    }
    merge(around: range)
    return place
  }
}
