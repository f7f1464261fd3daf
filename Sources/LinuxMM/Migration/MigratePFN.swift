public import Base

/// One word of a migration's source or destination array (`MIGRATE_PFN_*`, Linux 6.12 encoding).
public struct MigratePFN: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64
  @inlinable
  @inline(__always)
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  // SOURCE: include/linux/migrate.h, MIGRATE_PFN_*.
  /// `MIGRATE_PFN_VALID`: the word names a page.
  public static let valid: UInt64 = 1 << 0
  /// `MIGRATE_PFN_MIGRATE`: the page (or the empty place) takes part.
  public static let migrate: UInt64 = 1 << 1
  /// `MIGRATE_PFN_WRITE`: the CPU might write; only then may the device map it writable.
  public static let write: UInt64 = 1 << 3
  /// `MIGRATE_PFN_COMPOUND`: the word stands for 512 places, the others of which are empty. Only
  /// with ``MigrateSelect/compound``, a rule set later than Linux 6.12.
  public static let compound: UInt64 = 1 << 4
  /// `MIGRATE_PFN_SHIFT`: the frame number begins here.
  public static let shift: UInt64 = 6

  /// No page: in a destination, "leave this page where it is".
  public static let empty = MigratePFN(rawValue: 0)

  /// The word that names `pfn` (`migrate_pfn`).
  @inlinable
  @inline(__always)
  public init(_ pfn: PFN) { rawValue = pfn.rawValue << Self.shift | Self.valid }

  /// The word that names the huge page at `pfn`.
  @inlinable
  public init(huge pfn: PFN) {
    rawValue = pfn.rawValue << Self.shift | Self.valid | Self.compound
  }

  @inlinable
  @inline(__always)
  public var isValid: Bool { rawValue & Self.valid != 0 }
  /// Before commit: may migrate. After commit: did migrate.
  @inlinable
  @inline(__always)
  public var migrates: Bool { rawValue & Self.migrate != 0 }
  @inlinable
  @inline(__always)
  public var isWritable: Bool { rawValue & Self.write != 0 }
  /// Whether the word stands for a huge page, or for 2 MiB of empty places.
  @inlinable
  @inline(__always)
  public var isCompound: Bool { rawValue & Self.compound != 0 }

  /// The page, or nil for an empty place or the zero page (`migrate_pfn_to_page`).
  @inlinable
  @inline(__always)
  public var pfn: PFN? { isValid ? PFN(rawValue >> Self.shift) : nil }
}

extension MigratePFN {
  /// Bits of a source that only the model reads.
  @usableFromInline static let ownBits: UInt64 = 0b10_0100

  /// The word as a driver sees it.
  @inlinable
  @inline(__always)
  var shown: MigratePFN { MigratePFN(rawValue: rawValue & ~Self.ownBits) }
}

extension MigratePFN: CustomStringConvertible {
  public var description: String {
    let page = pfn.map { "\($0)" } ?? (rawValue == 0 ? "empty" : "no page")
    return page + (migrates ? " migrate" : "") + (isWritable ? " write" : "")
      + (isCompound ? " compound" : "")
  }
}

/// Which source pages a migration takes (`enum migrate_vma_direction`).
public struct MigrateSelect: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// `MIGRATE_VMA_SELECT_SYSTEM`: system pages and the zero page.
  public static let system = MigrateSelect(rawValue: 1)
  /// `MIGRATE_VMA_SELECT_DEVICE_PRIVATE`: device-private pages of the request's owner.
  public static let devicePrivate = MigrateSelect(rawValue: 2)
  /// `MIGRATE_VMA_SELECT_DEVICE_COHERENT`: coherent device pages of the request's owner.
  public static let deviceCoherent = MigrateSelect(rawValue: 4)
  /// With `devicePrivate`: pages of any owner, as before there were owners (the 2017 form).
  static let anyOwner = MigrateSelect(rawValue: 1 << 7)
  /// `MIGRATE_VMA_SELECT_COMPOUND`: huge pages, and aligned empty places of 2 MiB, are collected as
  /// one. Later than Linux 6.12, which splits huge pages; for drivers that ask for it.
  public static let compound = MigrateSelect(rawValue: 8)
}

/// What to migrate (the input half of `struct migrate_vma`).
public struct MigrationRequest {
  /// The first address; page aligned, inside one mapping.
  public var start: VirtualAddress
  /// The first address past the range; page aligned, inside the same mapping.
  public var end: VirtualAddress
  /// Whose device pages are meant, and what notifiers are told (`pgmap_owner`).
  public var owner: PagemapOwner?
  /// Which source pages are taken.
  public var select: MigrateSelect
  /// The page of the CPU fault in progress: the fault handler holds its lock and one reference.
  public var faultPage: PFN?

  public init(
    start: VirtualAddress, end: VirtualAddress, owner: PagemapOwner?, select: MigrateSelect,
    faultPage: PFN? = nil
  ) {
    self.start = start
    self.end = end
    self.owner = owner
    self.select = select
    self.faultPage = faultPage
  }

  public init(
    _ range: VirtualRange, owner: PagemapOwner?, select: MigrateSelect, faultPage: PFN? = nil
  ) {
    self.init(
      start: range.start, end: range.end, owner: owner, select: select, faultPage: faultPage)
  }
}
