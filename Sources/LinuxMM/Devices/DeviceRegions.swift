import Base

/// Which physical ranges of device memory are taken, and which carry a pagemap.
struct DeviceRegions {
  /// Requested ranges, by start (`iomem_resource`).
  private(set) var regions: [(range: PFNRange, name: String)] = []
  /// Mapped pagemaps, by start.
  private(set) var pagemaps: [DevicePagemap] = []
  /// Pagemaps by number; number 0 is none.
  private(set) var byNumber: [DevicePagemap?] = [nil]
  private var freeNumbers: [UInt32] = []

  /// Device regions begin on a boundary of a huge page.
  static let alignment = 512

  /// The lowest free run of `count` frames in `space`; nil when none is long enough.
  func findRoom(_ count: Int, in space: PFNRange) -> PFN? {
    var start = space.start.index
    for region in regions {
      if region.range.start.index - start >= count { break }
      start = (region.range.end.index + Self.alignment - 1) & ~(Self.alignment - 1)
    }
    return start + count <= space.end.index ? PFN(UInt64(start)) : nil
  }

  mutating func insert(_ range: PFNRange, name: String) {
    let place = regions.firstIndex { $0.range.start > range.start } ?? regions.count
    regions.insert((range, name), at: place)
  }

  /// False when no region is exactly `range`.
  mutating func remove(_ range: PFNRange) -> Bool {
    guard let place = regions.firstIndex(where: { $0.range == range }) else { return false }
    regions.remove(at: place)
    return true
  }

  /// The first pagemap that begins at or after `pfn`, as an index.
  private func lowerBound(_ pfn: PFN) -> Int {
    var low = 0
    var high = pagemaps.count
    while low < high {
      let middle = (low + high) / 2
      if pagemaps[middle].range.start < pfn { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The mapped pagemap that covers `pfn`.
  func pagemap(of pfn: PFN) -> DevicePagemap? {
    let place = lowerBound(pfn + 1)
    guard place > 0, pagemaps[place - 1].range.contains(pfn) else { return nil }
    return pagemaps[place - 1]
  }

  /// Whether a mapped pagemap shares frames with `range`.
  func hasPagemap(in range: PFNRange) -> Bool {
    let place = lowerBound(range.start)
    if place < pagemaps.count && pagemaps[place].range.overlaps(range) { return true }
    return place > 0 && pagemaps[place - 1].range.overlaps(range)
  }

  mutating func insert(_ pagemap: DevicePagemap) {
    pagemaps.insert(pagemap, at: lowerBound(pagemap.range.start))
    if let number = freeNumbers.popLast() {
      pagemap.number = number
      byNumber[Int(number)] = pagemap
    } else {
      pagemap.number = UInt32(byNumber.count)
      byNumber.append(pagemap)
    }
  }

  mutating func remove(_ pagemap: DevicePagemap) {
    pagemaps.removeAll { $0 === pagemap }
    byNumber[Int(pagemap.number)] = nil
    freeNumbers.append(pagemap.number)
    pagemap.number = 0
  }
}
