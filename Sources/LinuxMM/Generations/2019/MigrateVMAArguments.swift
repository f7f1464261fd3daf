public import Base
import KernelRuntime

/// A migration in three calls that the driver sequences itself (`struct migrate_vma` of 2019):
/// ``setup()``, ``commit()`` (`migrate_vma_pages`), ``finalize()``.
///
/// One value serves a driver's whole loop over chunks. What isn't an argument is reset by
/// ``setup()``, as the patch's reviewer asked for (N03): a driver that sets the next range and
/// calls again never sees the counts or words of the chunk before.
///
/// Like the first form it has neither selection nor owner. Unlike it, an empty place takes part: it
/// migrates and names no page.
public final class MigrateVMAArguments {
  public let space: AddressSpace
  /// The mapping that holds the range.
  public var vma: VMA?
  public var start: VirtualAddress
  public var end: VirtualAddress
  /// The page of the CPU fault in progress; the text has no word for it.
  public var faultPage: PFN?
  /// Places that may migrate (`cpages`).
  public private(set) var collected = 0
  /// Pages of the range (`npages`).
  public private(set) var pages = 0
  /// Not for the driver to write (`src`).
  public private(set) var sources: [FirstMigratePFN]
  private var words: [FirstMigratePFN]
  private let buffers: MigrationBuffers
  private var taken: CollectedPages?
  private var moved: CommittedPages?

  /// Arguments whose arrays hold `room` pages.
  public init(_ space: AddressSpace, _ vma: VMA?, _ range: VirtualRange, room: Int) {
    self.space = space
    self.vma = vma
    start = range.start
    end = range.end
    sources = [FirstMigratePFN](repeating: .empty, count: room)
    words = sources
    buffers = MigrationBuffers(pages: room)
  }

  /// Where each page shall go (`dst`): written between ``setup()`` and ``commit()`` only (R3).
  public subscript(destination place: Int) -> FirstMigratePFN {
    get { words[place] }
    set {
      invariant(taken != nil, "a destination is written between setup and the commit alone (R3)")
      words[place] = newValue
    }
  }

  /// Collects the range (`migrate_vma_setup`); that nothing can migrate is no error (R6).
  ///
  /// `EINVAL`, with nothing changed: no mapping, a special or hugetlb mapping, an empty range, ends
  /// outside of it or not page aligned, a range longer than the arrays (R1). The text rounds ends
  /// down after it has counted the pages, so that a range may hold one page more than was cleared
  /// (L15); refusing them leaves no such case.
  ///
  /// LOCKING: `mmapLock` held by the caller from here to ``finalize()``.
  public func setup() async throws(KernelError) {
    invariant(taken == nil && moved == nil, "setup of a migration that is not finalized (R19)")
    guard let vma, vma.space === space, !vma.flags.contains(.hugetlb),
      start.isPageAligned, end.isPageAligned, start < end, start >= vma.start, end <= vma.end
    else { throw .EINVAL }
    let result = try await space.migrateSetup(
      MigrationRequest(
        start: start, end: end, owner: nil, select: [.system, .devicePrivate, .anyOwner],
        faultPage: faultPage), buffers)
    pages = result.count
    collected = result.collected
    for place in sources.indices {
      sources[place] = place < pages ? FirstMigratePFN(result[source: place]) : .empty
      words[place] = .empty
    }
    // Nothing is locked then, and "if (!args.cpages) return" is right.
    if collected == 0 { result.abandon() } else { taken = consume result }
  }

  /// Moves each page that has a destination (`migrate_vma_pages`); afterwards the sources that
  /// still migrate are those that moved, empty places included.
  public func commit() async {
    guard let result = taken.take() else {
      invariant(collected == 0, "migrate_vma_pages without migrate_vma_setup")
      return
    }
    result.takeDestinations(words, of: sources)
    let committed = await result.commit()
    for place in 0..<pages where !committed[source: place].migrates {
      sources[place] = sources[place].refused
    }
    moved = consume committed
  }

  /// Maps the winners, unlocks, drops both references (`migrate_vma_finalize`).
  public func finalize() {
    guard let committed = moved.take() else {
      invariant(taken == nil, "migrate_vma_finalize without migrate_vma_pages")
      return
    }
    committed.finalize()
  }
}

extension VirtualRange {
  /// The range in chunks of at most `pages`, none empty and none beyond the end.
  ///
  /// The loop of 2019 computed the end of each chunk from the start of the range, so that only the
  /// first moved (N01), and never shortened the last, so that it passed the end (N02).
  public func chunks(of pages: Int) -> [VirtualRange] {
    invariant(pages > 0, "chunks of \(pages) pages")
    return stride(from: start.rawValue, to: end.rawValue, by: pages << PageSize.shift).map {
      VirtualRange(
        VirtualAddress($0), min(VirtualAddress($0) + UInt64(pages) << 12, end))
    }
  }
}
