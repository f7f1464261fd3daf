public import Base

/// One word of the array of a unified walk (`HMM_PFN_*` as the RFC of August 2025 has them): the
/// migrate bit takes a place from the map order's field, which moves down by four.
public struct UnifiedPFN: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  // SOURCE: "[RFC PATCH 2/4] mm: unified fault and migrate device page paths", include/linux/hmm.h.
  /// `HMM_PFN_VALID`.
  public static let valid: UInt64 = 1 << 63
  /// `HMM_PFN_WRITE`.
  public static let write: UInt64 = 1 << 62
  /// `HMM_PFN_ERROR`.
  public static let error: UInt64 = 1 << 61
  /// `HMM_PFN_MIGRATE`: the place is ready to migrate.
  public static let migrate: UInt64 = 1 << 57
  /// `HMM_PFN_ORDER_SHIFT`.
  public static let orderShift: UInt64 = 52
  /// `HMM_PFN_REQ_FAULT`: fault the page in.
  public static let requestFault: UInt64 = valid
  /// `HMM_PFN_REQ_WRITE`: make it writable.
  public static let requestWrite: UInt64 = write
  /// `HMM_PFN_REQ_MIGRATE`: prepare it for migration.
  public static let requestMigrate: UInt64 = migrate

  public static let none = UnifiedPFN(rawValue: 0)

  /// Whether the place may migrate.
  public var migrates: Bool { rawValue & (Self.valid | Self.migrate) == Self.valid | Self.migrate }
  public var isValid: Bool { rawValue & Self.valid != 0 }
  public var isWritable: Bool { isValid && rawValue & Self.write != 0 }
  public var isError: Bool { rawValue & Self.error != 0 }
  /// An empty place or the zero page, ready to migrate: "valid and migrate, and the pfn part is
  /// zero".
  public var isZero: Bool { rawValue == Self.valid | Self.migrate }
  /// The page; nil for an empty place, the zero page, or no result.
  public var pfn: PFN? {
    let number = rawValue & (1 << Self.orderShift - 1)
    return isValid && number != 0 ? PFN(number) : nil
  }

  /// The word of a collected place.
  init(_ source: MigratePFN) {
    guard source.migrates else {
      rawValue = 0
      return
    }
    rawValue = Self.valid | Self.migrate | (source.pfn?.rawValue ?? 0)
    if source.isWritable { rawValue |= Self.write }
  }
}

/// What a unified walk does to pages that can't be taken as they are (`MIGRATE_VMA_FAULT` and the
/// requests of `hmm_range_fault`).
public struct UnifiedFault: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Missing pages are faulted in, other devices' pages brought back (`HMM_PFN_REQ_FAULT`,
  /// `MIGRATE_VMA_FAULT`).
  public static let missing = UnifiedFault(rawValue: 1)
  /// Pages that may not be written are made so: shared ones are copied, zero pages replaced
  /// (`HMM_PFN_REQ_WRITE`). Implies `missing` (R54).
  public static let write = UnifiedFault(rawValue: 2)

  var isRequired: Bool { !isEmpty }
}
