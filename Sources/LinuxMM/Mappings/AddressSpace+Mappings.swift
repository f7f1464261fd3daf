import Base
import KernelRuntime

// The list of mappings: where a new one fits, and splits and merges.
extension AddressSpace {
  /// Addresses below belong to no mapping, so that a null pointer faults (`mmap_min_addr`).
  static let lowest = VirtualAddress(0x1_0000)
  /// New mappings are placed below, from the top down (`mmap_base`).
  static let highest = VirtualAddress(0x7fff_f7ff_f000)

  /// The highest free range of `bytes`; nil when none is long enough.
  ///
  /// A mapping that can hold huge pages begins on a boundary of one (`thp_get_unmapped_area`).
  func findRoom(_ bytes: UInt64) -> VirtualAddress? {
    let alignment = UInt64(bytes >= UInt64(PageSize.hugeBytes) ? PageSize.hugeBytes : 4096)
    var ceiling = Self.highest.rawValue
    var place = mappings.count
    while true {
      while place > 0 && mappings[place - 1].start.rawValue >= ceiling { place -= 1 }
      let floor = max(place > 0 ? mappings[place - 1].end.rawValue : 0, Self.lowest.rawValue)
      if ceiling >= bytes {
        let start = (ceiling - bytes) & ~(alignment - 1)
        if start >= floor { return VirtualAddress(start) }
      }
      guard place > 0 else { return nil }
      ceiling = mappings[place - 1].start.rawValue
    }
  }

  /// Whether a mapping has an address in `range`.
  func isMapped(_ range: VirtualRange) -> Bool {
    let place = firstMapping(above: range.start)
    return place < mappings.count && mappings[place].start < range.end
  }

  /// Whether every address of `range` is mapped.
  func covers(_ range: VirtualRange) -> Bool {
    var address = range.start
    var place = firstMapping(above: address)
    while address < range.end {
      guard place < mappings.count, mappings[place].start <= address else { return false }
      address = mappings[place].end
      place += 1
    }
    return true
  }

  /// Puts a new mapping in its place in the list.
  func insert(_ vma: VMA) {
    mappings.insert(vma, at: firstMapping(above: vma.start))
  }

  /// Divides the mapping that has `address` inside, so that one begins there (`split_vma`).
  func split(at address: VirtualAddress) {
    let place = firstMapping(above: address)
    guard place < mappings.count, mappings[place].start < address else { return }
    let low = mappings[place]
    let high = low.duplicate(
      in: self, VirtualRange(address, low.end), pageOffset: low.index(of: address))
    low.range = VirtualRange(low.start, address)
    mappings.insert(high, at: place + 1)
  }

  /// The mappings inside `range`, after splitting those that cross its ends, as list positions.
  @discardableResult
  func isolate(_ range: VirtualRange) -> Range<Int> {
    split(at: range.start)
    split(at: range.end)
    let first = firstMapping(above: range.start)
    var end = first
    while end < mappings.count && mappings[end].start < range.end { end += 1 }
    return first..<end
  }

  /// Joins neighbours that are alike, in and around `range` (`vma_merge`).
  func merge(around range: VirtualRange) {
    var place = max(firstMapping(above: range.start), 1)
    while place < mappings.count && mappings[place].start <= range.end {
      let low = mappings[place - 1]
      let high = mappings[place]
      guard low.merges(with: high) else {
        place += 1
        continue
      }
      high.anonymous?.leave(high)
      high.file?.leave(high)
      high.hugetlbFile?.leave()
      if low.anonymous == nil, let region = high.anonymous {
        low.anonymous = region
        region.join(low)
      }
      low.range = VirtualRange(low.start, high.end)
      if high.isNew { low.isNew = true }
      mappings.remove(at: place)
    }
  }

  /// Takes the mappings at `places` off the list.
  func forget(_ places: Range<Int>) {
    for vma in mappings[places] { leaveRegion(vma) }
    mappings.removeSubrange(places)
  }
}
