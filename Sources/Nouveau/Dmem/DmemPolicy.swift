public import Base
public import LinuxMM

/// Which pages a CPU fault on a device page brings back.
///
/// nouveau brings back the one page and carries a FIXME that asks for more; this is the place to
/// answer it. A policy only proposes: pages of the window that aren't on this device, or can't be
/// had, are left where they are, and only the faulting page decides the outcome of the access.
public protocol FaultAroundPolicy {
  /// Named in scenarios and reports.
  var name: String { get }
  /// The window to bring back; it must hold `fault` and lie in `area`, both page aligned.
  func window(around fault: VirtualAddress, in area: VirtualRange) -> VirtualRange
}

/// The faulting page alone, as nouveau does.
public struct SinglePagePolicy: FaultAroundPolicy {
  public init() {}
  public var name: String { "single" }

  public func window(around fault: VirtualAddress, in area: VirtualRange) -> VirtualRange {
    VirtualRange(start: fault.pageBase, pages: 1)
  }
}

/// The aligned block of pages around the fault, cut to the mapping.
///
/// SOURCE: the idea and the sizes of interest are those of the published tree prefetchers of
/// unified memory (64 KiB leaves under 2 MiB roots); see docs/architecture.md.
public struct AlignedBlockPolicy: FaultAroundPolicy {
  /// Pages in a block, a power of two up to 512.
  public let pages: Int

  /// `EINVAL` unless `pages` is a power of two in 1...512.
  public init(pages: Int) throws(KernelError) {
    guard (1...PageSize.pagesPerHuge).contains(pages), pages.nonzeroBitCount == 1 else {
      throw .EINVAL
    }
    self.pages = pages
  }

  public var name: String { "block-\(pages)" }

  public func window(around fault: VirtualAddress, in area: VirtualRange) -> VirtualRange {
    let bytes = UInt64(pages * PageSize.bytes)
    let first = VirtualAddress(fault.rawValue & ~(bytes - 1))
    return VirtualRange(max(first, area.start), min(first + bytes, area.end))
  }
}

/// The choices that nouveau fixes in its source, here as values.
public struct DmemPolicy {
  /// Pages that a CPU fault brings back.
  public var faultAround: any FaultAroundPolicy
  /// Pages of one batch of a bulk migration, 1...512. nouveau takes as many as fit a scatter-gather
  /// page, 128.
  public var batchPages: Int
  /// Batches in flight at once, 1 or 2: with 2, a batch is collected while the one before is
  /// copied.
  public var batchesInFlight: Int
  /// Empty chunks that are kept for later; further ones are given back. nouveau keeps all.
  public var emptyChunksKept: Int
  /// Huge pages stay whole on the device where a whole chunk can be had; a rule set merged after
  /// Linux 6.12, which splits them. A batch is then up to one block of 2 MiB. Needs push buffers
  /// with room for 512 launches, and is ignored without.
  public var hugeFolios = false
  /// With 1 or more, bulk migrations collect by the unified walk that was proposed in 2025, in
  /// place of `migrate_vma_setup`. A batch whose range was invalidated between the driver's look at
  /// its sequence and the walk is tried so often, and then left with the reason `notifier-retry`.
  /// Huge pages that stay whole, and pages of other GPUs, go the other way.
  public var unifiedWalkTries = 0
  /// What a migration to this GPU does with pages of another.
  public var peers = PeerPolicy.stay
  /// Whose copy engine moves pages between two GPUs.
  public var peerEngine = PeerEngine.source

  public init(
    faultAround: any FaultAroundPolicy = SinglePagePolicy(),
    batchPages: Int = 512,
    batchesInFlight: Int = 2,
    emptyChunksKept: Int = 4
  ) {
    self.faultAround = faultAround
    self.batchPages = min(max(batchPages, 1), PageSize.pagesPerHuge)
    self.batchesInFlight = min(max(batchesInFlight, 1), 2)
    self.emptyChunksKept = max(emptyChunksKept, 0)
  }
}
