public import Base

/// Page tables of Pascal's GMMU: five levels over a 49-bit address.
///
/// SOURCE: open-gpu-doc pascal/gp100-mmu-format.pdf; UVM hwref/pascal/gp100/dev_mmu.h.
public enum NV_MMU_VER2 {
  public static let virtualAddressBits = 49

  // What each level's index takes from the address.
  public static let PD3_INDEX = BitField(48, 47)
  public static let PD2_INDEX = BitField(46, 38)
  public static let PD1_INDEX = BitField(37, 29)
  public static let PD0_INDEX = BitField(28, 21)
  public static let PT64K_INDEX = BitField(20, 16)
  public static let PT4K_INDEX = BitField(20, 12)
  public static let PDE_byteCount = 8
  public static let DUAL_PDE_byteCount = 16
  public static let PTE_byteCount = 8

  // A page directory entry. Both halves of PD0's dual entry use it but for the address of the low
  // half (`DUAL_PDE_ADDRESS_BIG`).
  public static let PDE_IS_PTE = BitField(bit: 0)
  public static let PDE_APERTURE = BitField(2, 1)
  public static let PDE_APERTURE_INVALID: UInt64 = 0
  public static let PDE_APERTURE_VIDEO_MEMORY: UInt64 = 1
  public static let PDE_APERTURE_SYSTEM_COHERENT_MEMORY: UInt64 = 2
  public static let PDE_APERTURE_SYSTEM_NON_COHERENT_MEMORY: UInt64 = 3
  public static let PDE_VOL = BitField(bit: 3)
  /// Address >> 12.
  public static let PDE_ADDRESS_VID = BitField(32, 8)
  public static let PDE_ADDRESS_SYS = BitField(53, 8)
  /// Address >> 8, of the table of big pages in the low half of a dual entry.
  public static let DUAL_PDE_ADDRESS_BIG_VID = BitField(32, 4)
  public static let DUAL_PDE_ADDRESS_BIG_SYS = BitField(53, 4)

  public static let PTE_VALID = BitField(bit: 0)
  public static let PTE_APERTURE = BitField(2, 1)
  public static let PTE_APERTURE_VIDEO_MEMORY: UInt64 = 0
  public static let PTE_APERTURE_PEER_MEMORY: UInt64 = 1
  public static let PTE_APERTURE_SYSTEM_COHERENT_MEMORY: UInt64 = 2
  public static let PTE_APERTURE_SYSTEM_NON_COHERENT_MEMORY: UInt64 = 3
  /// With VALID clear: sparse.
  public static let PTE_VOL = BitField(bit: 3)
  public static let PTE_ENCRYPTED = BitField(bit: 4)
  /// With VALID clear in a table of 64 KiB pages: the small pages below are not looked at.
  public static let PTE_PRIVILEGE = BitField(bit: 5)
  public static let PTE_READ_ONLY = BitField(bit: 6)
  public static let PTE_ATOMIC_DISABLE = BitField(bit: 7)
  /// Address >> 12.
  public static let PTE_ADDRESS_VID = BitField(32, 8)
  public static let PTE_ADDRESS_PEER = BitField(35, 33)
  public static let PTE_ADDRESS_SYS = BitField(53, 8)
  public static let PTE_COMPTAGLINE = BitField(53, 36)
  public static let PTE_KIND = BitField(63, 56)
  public static let KIND_PITCH: UInt64 = 0
  public static let KIND_GENERIC_16BX2: UInt64 = 0xfe
  public static let KIND_INVALID: UInt64 = 0xff

  /// A page that reads as zero and drops writes.
  public static let PTE_SPARSE: UInt64 = 1 << 3
  /// A 64 KiB entry that hides the small pages below it and faults.
  public static let PTE_INVALID_HIDES_SMALL: UInt64 = 1 << 5
  /// A directory entry below which everything is sparse.
  public static let PDE_SPARSE: UInt64 = 1 << 3

  /// A directory entry that points at a table.
  public static func pde(aperture: UInt64, address: UInt64) -> UInt64 {
    PDE_APERTURE.make(aperture) | address >> 4
  }
  /// A page's entry.
  public static func pte(
    aperture: UInt64, address: UInt64, volatile: Bool = false, readOnly: Bool = false,
    atomicDisable: Bool = false, privileged: Bool = false, kind: UInt64 = KIND_PITCH
  ) -> UInt64 {
    1 | PTE_APERTURE.make(aperture) | (volatile ? PTE_VOL.mask : 0)
      | (privileged ? PTE_PRIVILEGE.mask : 0) | (readOnly ? PTE_READ_ONLY.mask : 0)
      | (atomicDisable ? PTE_ATOMIC_DISABLE.mask : 0) | address >> 4 | PTE_KIND.make(kind)
  }
}
