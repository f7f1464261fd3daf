import Base

/// The list of system pages in order of use, and the batches in front of it (`lruvec`,
/// `lru_add` folio batches).
///
/// A page joins through a batch of the CPU that runs; until the batch is drained the page is not on
/// the list and has one more reference, which makes a migration refuse it. Hence the drains.
final class LRUList {
  // SOURCE: include/linux/pagevec.h, PAGEVEC_SIZE of 6.12.
  static let batchSize = 31

  private let pages: FlatView<PageRecord>
  private let frames: FrameAllocator
  private let slots: FlatBuffer<UInt32>
  private let batches: FlatView<UInt32>
  let cpus: Int
  /// Pages on the list.
  private(set) var count = 0

  init(_ pages: FlatView<PageRecord>, _ frames: FrameAllocator, cpus: Int) {
    self.pages = pages
    self.frames = frames
    self.cpus = cpus
    // The last slot of each batch holds its length.
    slots = FlatBuffer(count: cpus * (Self.batchSize + 1), zero: 0)
    batches = FlatView(slots)
  }

  // The list is a ring through the record of page 0, the zero page, which is never on it:
  // `links` holds the previous page in its low half and the next one in its high half.

  @inline(__always)
  private func link(_ pfn: Int) {
    let pages = pages
    let first = pages[0].links >> 32
    pages[pfn].links = first << 32
    pages[0].links = pages[0].links & 0xffff_ffff | UInt64(pfn) << 32
    let old = Int(first)
    pages[old].links = pages[old].links & ~0xffff_ffff | UInt64(pfn)
    count += 1
  }

  /// Takes a page off the list.
  @inline(__always)
  func unlink(_ pfn: Int) {
    let pages = pages
    unlinkNeighbours(pages[pfn].links)
    pages[pfn].links = 0
    pages[pfn].flags.remove(.lru)
  }

  /// As ``unlink(_:)``, for a caller that writes the page's own record itself.
  @inline(__always)
  func unlinkNeighbours(_ links: UInt64) {
    let pages = pages
    let previous = Int(links & 0xffff_ffff)
    let next = Int(links >> 32)
    pages[previous].links = pages[previous].links & 0xffff_ffff | UInt64(next) << 32
    pages[next].links = pages[next].links & ~0xffff_ffff | UInt64(previous)
    count -= 1
  }

  /// The page at the list's cold end; nil when the list is empty.
  var coldest: Int? {
    let last = Int(pages[0].links & 0xffff_ffff)
    return last == 0 ? nil : last
  }

  /// Makes a page of the list the most recent one.
  func warm(_ pfn: Int) {
    unlink(pfn)
    pages[pfn].flags.insert(.lru)
    link(pfn)
  }

  /// Makes a page of the list the one that is reclaimed first (`lru_deactivate`).
  func cool(_ pfn: Int) {
    unlink(pfn)
    pages[pfn].flags.insert(.lru)
    let last = pages[0].links & 0xffff_ffff
    pages[pfn].links = last
    pages[0].links = pages[0].links & ~0xffff_ffff | UInt64(pfn)
    let old = Int(last)
    pages[old].links = pages[old].links & 0xffff_ffff | UInt64(pfn) << 32
    count += 1
  }

  /// Puts a page into the batch of `cpu` (`folio_add_lru`).
  @inline(__always)
  func add(_ pfn: Int, cpu: Int) {
    pages[pfn].references += 1
    pages[pfn].flags.insert(.batched)
    addCounted(pfn, cpu: cpu)
  }

  /// As ``add(_:cpu:)``, for a page whose record has the batch's flag and reference already.
  @inline(__always)
  func addCounted(_ pfn: Int, cpu: Int) {
    let base = cpu * (Self.batchSize + 1)
    let filled = Int(batches[base + Self.batchSize])
    batches[base + filled] = UInt32(truncatingIfNeeded: pfn)
    batches[base + Self.batchSize] = UInt32(truncatingIfNeeded: filled + 1)
    if filled + 1 == Self.batchSize { drain(cpu: cpu) }
  }

  /// Puts a page on the list at once, as large folios are.
  func addNow(_ pfn: Int) {
    pages[pfn].flags.insert(.lru)
    link(pfn)
  }

  /// Moves one CPU's batch to the list (`lru_add_drain`).
  func drain(cpu: Int) {
    let base = cpu * (Self.batchSize + 1)
    let filled = Int(batches[base + Self.batchSize])
    guard filled > 0 else { return }
    for slot in base..<base + filled {
      let pfn = Int(batches[slot])
      pages[pfn].flags.remove(.batched)
      pages[pfn].references -= 1
      if pages[pfn].references == 0 {
        if pages[pfn].flags.contains(.hwPoison) {
          frames.retire(pfn)
        } else {
          frames.give(pfn)
        }
      } else {
        pages[pfn].flags.insert(.lru)
        link(pfn)
      }
    }
    batches[base + Self.batchSize] = 0
  }

  /// Moves every CPU's batch to the list (`lru_add_drain_all`).
  func drainAll() {
    for cpu in 0..<cpus { drain(cpu: cpu) }
  }

  /// The pages on the list, most recent first, for audits; stops after `limit`.
  func members(limit: Int) -> [Int] {
    var found: [Int] = []
    var next = Int(pages[0].links >> 32)
    while next != 0 && found.count < limit {
      found.append(next)
      next = Int(pages[next].links >> 32)
    }
    return found
  }

  /// The pages in batches, for audits.
  func batched() -> [Int] {
    var found: [Int] = []
    for cpu in 0..<cpus {
      let base = cpu * (Self.batchSize + 1)
      let filled = Int(batches[base + Self.batchSize])
      for slot in base..<base + filled { found.append(Int(batches[slot])) }
    }
    return found
  }
}
