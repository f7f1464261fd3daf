public import Base

/// Why a page did not migrate, or would not.
public struct MigrationReason: Hashable, Sendable {
  /// The rule or event that kept the page; the raw value is its name in scenarios and reports.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    // The page's users.
    case pinned
    case referenced
    case locked
    case underMigration = "under-migration"
    case notIsolated = "not-isolated"
    // What the page or its place is.
    case notAnonymous = "not-anonymous"
    case devicePage = "device-page"
    case systemPage = "system-page"
    case foreignOwner = "foreign-owner"
    case swapped
    case inSwapCache = "in-swap-cache"
    case exclusive
    case poisoned
    case marker
    case notMapped = "not-mapped"
    case specialMapping = "special-mapping"
    case hugetlb
    case emptyPlace = "empty-place"
    case watched
    case reaped
    case overLimit = "over-limit"
    case splitFailed = "split-failed"
    // What the driver or its device did.
    case noDeviceMemory = "no-device-memory"
    case noSystemMemory = "no-system-memory"
    case notMappedForDevice = "dma-map-failed"
    case copyFailed = "copy-failed"
    case declined
    case notTried = "not-tried"
    // What happened meanwhile.
    case lostRace = "lost-race"
    case refusedAtCommit = "refused-at-commit"
    case notifierRetry = "notifier-retry"
    case noPageTable = "no-page-table"
    case faultFailed = "fault-failed"
    case injected
  }

  public let kind: Kind
  /// Counts of the page, for `pinned`, `referenced` and `refusedAtCommit`.
  public let use: PageUse?
  /// Who: the task that holds the lock or migrates, the owner of a foreign page, the failure.
  public let who: String?
  /// The error of a step that failed.
  public let error: KernelError?

  public init(
    _ kind: Kind, use: PageUse? = nil, who: String? = nil, error: KernelError? = nil
  ) {
    self.kind = kind
    self.use = use
    self.who = who
    self.error = error
  }
}

/// Who uses a page, in counts: a page with more references than the core expects can't move (R20).
public struct PageUse: Hashable, Sendable, CustomStringConvertible {
  /// `page_count`.
  public let references: Int
  /// References that mappings, the LRU batch, the device and the migration account for.
  public let expected: Int
  /// `page_mapcount`.
  public let mappings: Int
  /// GUP pins among the references.
  public let pins: Int

  public init(references: Int, expected: Int, mappings: Int, pins: Int) {
    self.references = references
    self.expected = expected
    self.mappings = mappings
    self.pins = pins
  }

  public var description: String {
    "\(references) references, \(expected) expected, \(mappings) mapping"
      + (mappings == 1 ? "" : "s") + ", \(pins) pin" + (pins == 1 ? "" : "s")
  }
}

extension MigrationReason.Kind {
  /// One line for tables and help.
  public var summary: String {
    switch self {
    case .pinned: "the page is pinned (pin_user_pages)"
    case .referenced: "somebody holds a reference that no mapping accounts for"
    case .locked: "another holds the page lock, which is only tried"
    case .underMigration: "another migration has the page"
    case .notIsolated: "another has taken the page off the LRU"
    case .notAnonymous: "the page belongs to a file; only anonymous memory goes to the device"
    case .devicePage: "the page is in device memory, which was not selected"
    case .systemPage: "the page is in RAM, which was not selected"
    case .foreignOwner: "the page lies on another driver's device"
    case .swapped: "the page is in swap space"
    case .inSwapCache: "the page can't leave the swap cache: its slot is still named"
    case .exclusive: "a device uses the page exclusively"
    case .poisoned: "the page has a memory error"
    case .marker: "the entry is a marker without a page"
    case .notMapped: "nothing is mapped there"
    case .specialMapping: "a driver's own mapping (VM_SPECIAL)"
    case .hugetlb: "a mapping of hugetlb pages"
    case .emptyPlace: "an empty place that nothing moves to or from"
    case .watched: "an empty place that a userfaultfd watches"
    case .reaped: "the process's memory was reaped under an OOM kill"
    case .overLimit: "the process's group is at its memory limit"
    case .splitFailed: "the huge page could not be split"
    case .noDeviceMemory: "no device page was free"
    case .noSystemMemory: "no system page was free"
    case .notMappedForDevice: "the page could not be mapped for the device's DMA"
    case .copyFailed: "the copy failed"
    case .declined: "the driver gave no destination"
    case .notTried: "an earlier batch of the range failed"
    case .lostRace: "a fault filled the empty place first"
    case .refusedAtCommit: "somebody took a reference between setup and commit"
    case .notifierRetry: "the range was invalidated meanwhile"
    case .noPageTable: "no page-table page could be had"
    case .faultFailed: "the page could not be faulted in"
    case .injected: "an injected failure"
    }
  }
}

extension MigrationReason: CustomStringConvertible {
  public var description: String {
    var text = kind.summary
    if let who {
      switch kind {
      case .locked: text = "locked by \(who)"
      case .underMigration: text = "taken by \(who)"
      case .foreignOwner, .devicePage: text += " (owner \(who))"
      default: text += " (\(who))"
      }
    }
    if let use { text += ": \(use)" }
    if let error { text += ": \(error.name)" }
    return text
  }
}
