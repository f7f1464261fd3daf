public import Base
import KernelRuntime

extension MemoryManager {
  /// Brings everything back from swap space and takes it away (`swapoff`).
  ///
  /// `EINVAL` without swap space; `ENOMEM` or `EIO` when a page can't be brought back, and then
  /// swap space stays, with what is left in it.
  public func swapOff() async throws(KernelError) {
    await kernel.point()
    guard let swap, !swap.isClosing else { throw .EINVAL }
    swap.isClosing = true
    do throws(KernelError) {
      for space in addressSpaces { try await space.bringBackSwapped() }
      for case let file? in files { try await file.bringBackSwapped() }
    } catch {
      swap.isClosing = false
      throw error
    }
    await drainLRUOfAllCPUs()
    for slot in swap.touched where swap.slots[slot].page != 0 {
      let pfn = Int(swap.slots[slot].page)
      get(PFN(UInt64(pfn)))
      await lock(PFN(UInt64(pfn)))
      _ = freeSwap(pfn)
      unlockAndDrop(pfn)
    }
    invariant(swap.used == 0, "\(swap.used) swap slots are left without entries and pages")
    self.swap = nil
  }
}

extension AddressSpace {
  /// Faults in every page of the process that is in swap space (`unuse_mm`).
  fileprivate func bringBackSwapped() async throws(KernelError) {
    await mmapLock.lockShared()
    defer { mmapLock.unlockShared() }
    for vma in mappings {
      for page in 0..<vma.range.pages where tally.swapEntries > 0 {
        let address = vma.start + UInt64(page) << 12
        while let slot = leafSlot(address), manager.tables.entries[slot].kind == .swap {
          let entry = manager.tables.entries[slot]
          switch await faultSwap(vma, address, slot, entry, write: false) {
          case .done, .retry: continue
          case .failed(.outOfMemory): throw .ENOMEM
          case .failed(.sigbus(_, .EHWPOISON)):
            // The bytes are lost; the entry says so from now on (`unuse_pte`).
            guard manager.tables.entries[slot] == entry else { continue }
            manager.tables.entries[slot] = .absent(.poison, entry.frame)
            tally.swapEntries -= 1
            manager.dropSwap(Int(entry.frame.rawValue))
          case .failed: throw .EIO
          }
        }
      }
    }
  }
}
