import Base
import NVHardware

/// A page that a walk found.
struct GMMULeaf {
  /// The page's first byte.
  let base: Place
  /// log2 of the page's size: 12, 16 or 21.
  let shift: UInt8
  let flags: PageFlags
}

/// One walk through the page tables of format version 2.
///
/// SOURCE: open-gpu-doc pascal/gp100-mmu-format.pdf; special encodings as nouveau's vmmgp100.c
/// writes them.
struct GMMUWalk {
  typealias M = NV_MMU_VER2
  let board: Board
  let root: Place

  func walk(_ address: UInt64) throws(TranslationFault) -> GMMULeaf {
    var table = root
    // PD3, PD2 and PD1 differ only in their index.
    for field in [M.PD3_INDEX, M.PD2_INDEX, M.PD1_INDEX] {
      let entry = try read(table, field.get(address) * UInt64(M.PDE_byteCount))
      guard M.PDE_IS_PTE.get(entry) == 0 else { throw TranslationFault(type: .PDE) }
      guard let next = try directory(entry) else { return sparse(entry, address, shift: 21) }
      table = next
    }
    return try walkLast(table, address)
  }

  /// PD0 and below.
  private func walkLast(_ table: Place, _ address: UInt64) throws(TranslationFault) -> GMMULeaf {
    let index = M.PD0_INDEX.get(address) * UInt64(M.DUAL_PDE_byteCount)
    let low = try read(table, index)
    if M.PTE_VALID.get(low) == 1 { return try leaf(low, shift: 21) }
    let high = try read(table, index + 8)
    let bigAperture = M.PDE_APERTURE.get(low)
    if bigAperture != M.PDE_APERTURE_INVALID {
      let physical =
        bigAperture == M.PDE_APERTURE_VIDEO_MEMORY
        ? M.DUAL_PDE_ADDRESS_BIG_VID.get(low) << 8 : M.DUAL_PDE_ADDRESS_BIG_SYS.get(low) << 8
      let big = Place(
        aperture: bigAperture == M.PDE_APERTURE_VIDEO_MEMORY ? .vram : .system, address: physical)
      let entry = try read(big, M.PT64K_INDEX.get(address) * UInt64(M.PTE_byteCount))
      if M.PTE_VALID.get(entry) == 1 { return try leaf(entry, shift: 16) }
      if M.PTE_VOL.get(entry) == 1 { return sparse(entry, address, shift: 16) }
      if M.PTE_PRIVILEGE.get(entry) == 1 { throw TranslationFault(type: .PTE) }
      guard M.PDE_APERTURE.get(high) != M.PDE_APERTURE_INVALID else {
        throw TranslationFault(type: .PTE)
      }
    } else if M.PDE_VOL.get(low) == 1 {
      return sparse(low, address, shift: 21)
    }
    guard let small = try directory(high) else { throw TranslationFault(type: .PDE) }
    let entry = try read(small, M.PT4K_INDEX.get(address) * UInt64(M.PTE_byteCount))
    if M.PTE_VALID.get(entry) == 1 { return try leaf(entry, shift: 12) }
    if M.PTE_VOL.get(entry) == 1 { return sparse(entry, address, shift: 12) }
    throw TranslationFault(type: .PTE)
  }

  /// The table an entry points at; nil for a sparse entry.
  private func directory(_ entry: UInt64) throws(TranslationFault) -> Place? {
    switch M.PDE_APERTURE.get(entry) {
    case M.PDE_APERTURE_INVALID:
      guard M.PDE_VOL.get(entry) == 1 else { throw TranslationFault(type: .PDE) }
      return nil
    case M.PDE_APERTURE_VIDEO_MEMORY:
      return Place(aperture: .vram, address: M.PDE_ADDRESS_VID.get(entry) << 12)
    default:
      return Place(aperture: .system, address: M.PDE_ADDRESS_SYS.get(entry) << 12)
    }
  }

  private func leaf(_ entry: UInt64, shift: UInt8) throws(TranslationFault) -> GMMULeaf {
    guard M.PTE_KIND.get(entry) == M.KIND_PITCH else {
      if M.PTE_KIND.get(entry) != M.KIND_INVALID {
        board.reportUnimplemented(.field, entry, M.PTE_KIND.get(entry), "NV_MMU_VER2_PTE_KIND")
      }
      throw TranslationFault(type: .UNSUPPORTED_KIND)
    }
    if M.PTE_ENCRYPTED.get(entry) == 1 {
      board.reportUnimplemented(.field, entry, 1, "NV_MMU_VER2_PTE_ENCRYPTED")
      throw TranslationFault(type: .UNSUPPORTED_APERTURE)
    }
    var flags: PageFlags = []
    if M.PTE_READ_ONLY.get(entry) == 1 { flags.insert(.readOnly) }
    if M.PTE_ATOMIC_DISABLE.get(entry) == 1 { flags.insert(.atomicDisable) }
    let base: Place
    switch M.PTE_APERTURE.get(entry) {
    case M.PTE_APERTURE_VIDEO_MEMORY:
      base = Place(aperture: .vram, address: M.PTE_ADDRESS_VID.get(entry) << 12)
    case M.PTE_APERTURE_PEER_MEMORY:
      board.reportUnimplemented(.field, entry, 1, "NV_MMU_VER2_PTE_APERTURE_PEER_MEMORY")
      throw TranslationFault(type: .UNSUPPORTED_APERTURE)
    default:
      base = Place(aperture: .system, address: M.PTE_ADDRESS_SYS.get(entry) << 12)
    }
    guard base.address & ((1 << UInt64(shift)) - 1) == 0 else {
      throw TranslationFault(type: .UNSUPPORTED_APERTURE)
    }
    return GMMULeaf(base: base, shift: shift, flags: flags)
  }

  private func sparse(_ entry: UInt64, _ address: UInt64, shift: UInt8) -> GMMULeaf {
    GMMULeaf(base: Place(aperture: .vram, address: 0), shift: shift, flags: .sparse)
  }

  private func read(_ table: Place, _ offset: UInt64) throws(TranslationFault) -> UInt64 {
    do throws(BusFault) {
      return try board.load(UInt64.self, at: table.advanced(by: offset))
    } catch {
      // A table that points where no memory is.
      throw TranslationFault(type: .UNSUPPORTED_APERTURE)
    }
  }
}
