public import Base

/// One word of the array of `hmm_range_fault`: a request on the way in, a result on the way out
/// (`HMM_PFN_*`).
public struct HMMPFN: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public var rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  // SOURCE: include/linux/hmm.h, enum hmm_pfn_flags of 6.12, for 64-bit words.
  /// `HMM_PFN_VALID`: the frame number is good for reading.
  public static let valid: UInt64 = 1 << 63
  /// `HMM_PFN_WRITE`: with `valid`, good for writing too.
  public static let write: UInt64 = 1 << 62
  /// `HMM_PFN_ERROR`: the address can't be used and was not required.
  public static let error: UInt64 = 1 << 61
  /// `HMM_PFN_REQ_FAULT`: the page is required.
  public static let requestFault: UInt64 = valid
  /// `HMM_PFN_REQ_WRITE`: the page is required writable; counts with `requestFault` only (R54).
  public static let requestWrite: UInt64 = write
  /// `HMM_PFN_ORDER_SHIFT`: five bits of map order.
  public static let orderShift: UInt64 = 56

  /// No request, or no page.
  public static let none = HMMPFN(rawValue: 0)

  /// Whether a result names a page.
  public var isValid: Bool { rawValue & Self.valid != 0 }
  /// Whether a result may be written.
  public var isWritable: Bool { rawValue & (Self.valid | Self.write) == Self.valid | Self.write }
  /// Whether the address can't be used.
  public var isError: Bool { rawValue & Self.error != 0 }
  /// The page of a valid result (`hmm_pfn_to_page`).
  public var pfn: PFN? {
    isValid ? PFN(rawValue & (1 << Self.orderShift - 1)) : nil
  }
  /// log2 of the pages that the CPU maps as one here (`hmm_pfn_to_map_order`).
  public var mapOrder: Int { Int((rawValue >> Self.orderShift) & 0x1f) }
}

/// What to look up and fault in (`struct hmm_range`).
public struct HMMRange {
  /// The mirror's subscription; covers ``range``.
  public let notifier: IntervalNotifier
  /// From ``IntervalNotifier/readBegin()``, taken before each try (R52).
  public var sequence: UInt64
  /// Page aligned.
  public let range: VirtualRange
  /// Whose device pages may be reported (R48); nil for none (`dev_private_owner`).
  public var owner: PagemapOwner?
  /// Requests that hold for every page.
  public var defaultFlags: UInt64
  /// Which request bits of the array count (`pfn_flags_mask`).
  public var flagsMask: UInt64
  /// One word a page: requests in, results out (R53).
  public var pfns: [HMMPFN]

  public init(
    notifier: IntervalNotifier, sequence: UInt64, range: VirtualRange, owner: PagemapOwner?,
    defaultFlags: UInt64 = 0, flagsMask: UInt64 = 0, pfns: [HMMPFN]? = nil
  ) {
    self.notifier = notifier
    self.sequence = sequence
    self.range = range
    self.owner = owner
    self.defaultFlags = defaultFlags
    self.flagsMask = flagsMask
    self.pfns = pfns ?? [HMMPFN](repeating: .none, count: range.pages)
  }
}
