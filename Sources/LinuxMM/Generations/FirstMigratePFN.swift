public import Base

/// One word of a migration's arrays in the first encoding (`MIGRATE_PFN_*` of 2017, in use until
/// after 2019).
///
/// Four things differ from ``MigratePFN``: a destination says that it is locked, a page that can't
/// come back is a word of its own, the flags take one bit less, and nothing says WRITE is the last
/// of them.
public struct FirstMigratePFN: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  // SOURCE: the patch "mm/migrate: new memory migration helper for use with device memory v4" of
  // May 2017, include/linux/migrate.h.
  /// `MIGRATE_PFN_VALID`.
  public static let valid: UInt64 = 1 << 0
  /// `MIGRATE_PFN_MIGRATE`.
  public static let migrate: UInt64 = 1 << 1
  /// `MIGRATE_PFN_LOCKED`: set by the core for a source, by the driver for a destination.
  public static let locked: UInt64 = 1 << 2
  /// `MIGRATE_PFN_WRITE`.
  public static let write: UInt64 = 1 << 3
  /// `MIGRATE_PFN_ERROR`: the destination of a device page that can't come back; its owner's
  /// accesses get SIGBUS.
  public static let error: UInt64 = 1 << 4
  /// `MIGRATE_PFN_SHIFT`.
  public static let shift: UInt64 = 5

  /// No page.
  public static let empty = FirstMigratePFN(rawValue: 0)
  /// A destination that says SIGBUS.
  public static let failed = FirstMigratePFN(rawValue: error)

  /// The word of a page (`migrate_pfn`).
  public init(_ pfn: PFN) { rawValue = pfn.rawValue << Self.shift | Self.valid }

  /// The word of a destination: a page that its driver has locked.
  public static func destination(_ pfn: PFN) -> FirstMigratePFN {
    FirstMigratePFN(rawValue: FirstMigratePFN(pfn).rawValue | locked)
  }

  /// A word of today in the first encoding.
  init(_ word: MigratePFN) {
    var raw = word.pfn.map { FirstMigratePFN($0).rawValue | Self.locked } ?? 0
    if word.migrates { raw |= Self.migrate }
    if word.isWritable { raw |= Self.write }
    rawValue = raw
  }

  public var isValid: Bool { rawValue & Self.valid != 0 }
  /// Before the commit: may migrate. After it: did.
  public var migrates: Bool { rawValue & Self.migrate != 0 }
  public var isLocked: Bool { rawValue & Self.locked != 0 }
  public var isWritable: Bool { rawValue & Self.write != 0 }
  public var isError: Bool { rawValue & Self.error != 0 }
  /// The page (`migrate_pfn_to_page`).
  public var pfn: PFN? { isValid ? PFN(rawValue >> Self.shift) : nil }
}

extension FirstMigratePFN: CustomStringConvertible {
  public var description: String {
    (pfn.map { "\($0)" } ?? (rawValue == 0 ? "empty" : "no page"))
      + (migrates ? " migrate" : "") + (isLocked ? " locked" : "")
      + (isWritable ? " write" : "") + (isError ? " error" : "")
  }
}

extension CollectedPages {
  /// Takes the destinations of a driver that writes them in the first encoding.
  ///
  /// A destination without LOCKED is a defect of the driver (R13), found by the core's own check of
  /// the page when the word claims it.
  func takeDestinations(_ words: [FirstMigratePFN], of sources: [FirstMigratePFN]) {
    for place in 0..<count where sources[place].migrates {
      guard let page = words[place].pfn else { continue }
      invariant(
        words[place].isLocked, "destination \(page) without MIGRATE_PFN_LOCKED (R13)")
      self[destination: place] = MigratePFN(page)
    }
  }
}
