package import Base
import NVHardware

/// An entry of a GPU page table as the driver reads and writes it: a page of 4 KiB, or none.
@frozen
package struct GPUPTE: Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64

  @inlinable
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// No page; an access faults.
  package static let none = GPUPTE(rawValue: 0)
  /// Reads as zero, drops writes, never faults.
  package static let sparse = GPUPTE(rawValue: NV_MMU_VER2.PTE_SPARSE)

  /// A page of VRAM.
  package static func vram(_ address: VRAMAddress, writable: Bool = true, atomic: Bool = true)
    -> GPUPTE
  {
    GPUPTE(
      rawValue: 1 | (writable ? 0 : NV_MMU_VER2.PTE_READ_ONLY.mask)
        | (atomic ? 0 : NV_MMU_VER2.PTE_ATOMIC_DISABLE.mask) | address.rawValue >> 4)
  }

  /// A page of system memory, kept coherent with the CPU's caches; volatile, because the GPU's own
  /// cache doesn't see the CPU's stores.
  package static func host(_ address: DMAAddress, writable: Bool = true, atomic: Bool = true)
    -> GPUPTE
  {
    GPUPTE(
      rawValue: NV_MMU_VER2.pte(
        aperture: NV_MMU_VER2.PTE_APERTURE_SYSTEM_COHERENT_MEMORY, address: address.rawValue,
        volatile: true, readOnly: !writable, atomicDisable: !atomic))
  }

  package var isValid: Bool { rawValue & 1 != 0 }
  package var isSparse: Bool { !isValid && NV_MMU_VER2.PTE_VOL.get(rawValue) != 0 }
  package var isWritable: Bool { isValid && NV_MMU_VER2.PTE_READ_ONLY.get(rawValue) == 0 }
  package var allowsAtomics: Bool { isValid && NV_MMU_VER2.PTE_ATOMIC_DISABLE.get(rawValue) == 0 }

  /// The page, if it lies in VRAM.
  package var vramAddress: VRAMAddress? {
    guard isValid, aperture == NV_MMU_VER2.PTE_APERTURE_VIDEO_MEMORY else { return nil }
    return VRAMAddress(NV_MMU_VER2.PTE_ADDRESS_VID.get(rawValue) << UInt64(PageSize.shift))
  }

  /// The page, if it lies in system memory.
  package var hostAddress: DMAAddress? {
    guard isValid, aperture == NV_MMU_VER2.PTE_APERTURE_SYSTEM_COHERENT_MEMORY else { return nil }
    return DMAAddress(NV_MMU_VER2.PTE_ADDRESS_SYS.get(rawValue) << UInt64(PageSize.shift))
  }

  private var aperture: UInt64 { NV_MMU_VER2.PTE_APERTURE.get(rawValue) }

  /// The entry of a page `bytes` further in the same memory.
  func advanced(by bytes: UInt64) -> GPUPTE { GPUPTE(rawValue: rawValue + bytes >> 4) }

  package var description: String {
    if let vramAddress { return "vram \(vramAddress)\(isWritable ? "" : " ro")" }
    if let hostAddress { return "host \(hostAddress)\(isWritable ? "" : " ro")" }
    return isSparse ? "sparse" : isValid ? "entry 0x" + String(rawValue, radix: 16) : "none"
  }
}
