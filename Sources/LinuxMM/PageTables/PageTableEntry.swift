public import Base

/// One entry of a page table.
///
/// A present entry maps a page for the CPU. A non-present, non-empty entry says in its kind bits
/// where the page is instead. The software bits (soft-dirty, uffd-wp, young, dirty) stand at the
/// same place in both forms, so that no accessor can read one form's bit as the other's.
///
///     bit  0      present
///     bits 4:1    present: write, special, huge, no access; else: the kind
///     bit  5      soft-dirty        bit 6   uffd-wp
///     bit  7      young             bit 8   dirty
///     bit  9      exclusive (swap entries)
///     bits 51:12  page frame number, or swap slot, or table number
public struct PageTableEntry: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64
  @inlinable
  @inline(__always)
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The empty entry (`pte_none`).
  public static let none = PageTableEntry(rawValue: 0)

  /// What a non-present entry stands for.
  public enum Kind: UInt64, Sendable {
    /// A page in swap space.
    case swap = 1
    /// A page under migration, mapped read-only and perhaps shared.
    case migrationRead = 2
    /// A page under migration, mapped read-only but exclusive to this mapping.
    case migrationReadExclusive = 3
    /// A page under migration that was writable.
    case migrationWrite = 4
    /// A page in device-private memory, readable there.
    case deviceRead = 5
    /// A page in device-private memory, writable there.
    case deviceWrite = 6
    /// A system page that a device uses exclusively, read-only.
    case exclusiveRead = 7
    /// A system page that a device uses exclusively, writable.
    case exclusiveWrite = 8
    /// A page with a hardware memory error.
    case poison = 9
    /// A marker without a page.
    case marker = 10
  }

  enum Bit {
    static let present: UInt64 = 1 << 0
    static let write: UInt64 = 1 << 1
    static let special: UInt64 = 1 << 2
    static let huge: UInt64 = 1 << 3
    static let noAccess: UInt64 = 1 << 4
    static let softDirty: UInt64 = 1 << 5
    static let userfaultWP: UInt64 = 1 << 6
    static let young: UInt64 = 1 << 7
    static let dirty: UInt64 = 1 << 8
    static let exclusive: UInt64 = 1 << 9
    static let software = softDirty | userfaultWP
    /// What a write leaves behind.
    static let written = write | dirty | young | softDirty
    static let kind: UInt64 = 0xf << 1
    static let kindAndPresent: UInt64 = 0x1f
    /// Set in every entry of the level above the leaf tables that is no table and not empty.
    static let hugeLeaf: UInt64 = 0xf << 1
    static let frame: UInt64 = (1 << 40 - 1) << 12
  }

  /// A present entry.
  @inline(__always)
  static func present(_ pfn: PFN, _ bits: UInt64) -> PageTableEntry {
    PageTableEntry(rawValue: pfn.rawValue << 12 | bits | Bit.present)
  }

  /// A non-present entry of `kind` that names `pfn` (or a slot), with software bits.
  @inline(__always)
  static func absent(_ kind: Kind, _ pfn: PFN, _ bits: UInt64 = 0) -> PageTableEntry {
    PageTableEntry(rawValue: pfn.rawValue << 12 | kind.rawValue << 1 | bits)
  }

  /// The zero page, read-only and special.
  static let zeroPage = PageTableEntry(rawValue: Bit.present | Bit.special)

  @inline(__always)
  func with(_ bits: UInt64) -> PageTableEntry { PageTableEntry(rawValue: rawValue | bits) }
  @inline(__always)
  func without(_ bits: UInt64) -> PageTableEntry { PageTableEntry(rawValue: rawValue & ~bits) }
  @inline(__always)
  func has(_ bits: UInt64) -> Bool { rawValue & bits == bits }
}

extension PageTableEntry {
  @inline(__always)
  public var isNone: Bool { rawValue == 0 }
  @inline(__always)
  public var isPresent: Bool { has(Bit.present) }
  /// Whether a present entry lets the CPU write.
  public var isWritable: Bool { has(Bit.present | Bit.write) }
  public var isDirty: Bool { has(Bit.dirty) }
  public var isYoung: Bool { has(Bit.young) }
  public var isSoftDirty: Bool { has(Bit.softDirty) }
  public var isUserfaultWriteProtected: Bool { has(Bit.userfaultWP) }
  /// Whether the entry maps the zero page.
  @inline(__always)
  public var isZeroPage: Bool { rawValue & (Bit.frame | Bit.present) == Bit.present }

  /// The kind of a non-present entry; nil for an empty or a present one.
  @inline(__always)
  public var kind: Kind? {
    isPresent ? nil : Kind(rawValue: (rawValue & Bit.kind) >> 1)
  }

  /// The frame that a present, migration or device entry names.
  @inline(__always)
  var frame: PFN { PFN((rawValue & Bit.frame) >> 12) }

  @inline(__always)
  var isDevicePrivate: Bool {
    let low = rawValue & Bit.kindAndPresent
    return low == Kind.deviceRead.rawValue << 1 || low == Kind.deviceWrite.rawValue << 1
  }

  @inline(__always)
  var isMigration: Bool {
    let low = rawValue & Bit.kindAndPresent
    return low >= Kind.migrationRead.rawValue << 1 && low <= Kind.migrationWrite.rawValue << 1
      && low & 1 == 0
  }
}

extension PageTableEntry {
  /// Where an entry says its page is.
  public enum Location: Hashable, Sendable, CustomStringConvertible {
    /// Nothing is there.
    case none
    /// The shared page of zeroes.
    case zero
    /// A system page (or a coherent device page), mapped for the CPU.
    case ram(PFN)
    /// A device-private page.
    case device(PFN)
    /// A page on its way.
    case migration(PFN)
    /// A system page that a device uses exclusively.
    case exclusive(PFN)
    /// Swap space.
    case swap(slot: UInt64)
    /// A memory error.
    case poison
    /// A marker without a page.
    case marker

    public var description: String {
      switch self {
      case .none: "none"
      case .zero: "zero"
      case .ram(let pfn): "ram \(pfn)"
      case .device(let pfn): "device \(pfn)"
      case .migration(let pfn): "migration \(pfn)"
      case .exclusive(let pfn): "exclusive \(pfn)"
      case .swap(let slot): "swap \(slot)"
      case .poison: "poison"
      case .marker: "marker"
      }
    }
  }

  public var location: Location {
    if isNone { return .none }
    guard let kind else { return isZeroPage ? .zero : .ram(frame) }
    switch kind {
    case .swap: return .swap(slot: frame.rawValue)
    case .migrationRead, .migrationReadExclusive, .migrationWrite: return .migration(frame)
    case .deviceRead, .deviceWrite: return .device(frame)
    case .exclusiveRead, .exclusiveWrite: return .exclusive(frame)
    case .poison: return .poison
    case .marker: return .marker
    }
  }
}

extension PageTableEntry: CustomStringConvertible {
  public var description: String {
    var text = kind.map { "\($0) \(frame)" } ?? location.description
    if isWritable { text += " write" }
    if isYoung { text += " young" }
    if isDirty { text += " dirty" }
    if isSoftDirty { text += " soft-dirty" }
    if isUserfaultWriteProtected { text += " uffd-wp" }
    return text
  }
}
