import Base
import KernelRuntime

// The reverse map: from a page to the addresses at which it is mapped, without an object a page.
extension AddressSpace {
  /// The region of a mapping's anonymous pages, made at the first one (`anon_vma_prepare`).
  ///
  /// A neighbour that differs in protection only shares its region, so that the two can merge later
  /// (`find_mergeable_anon_vma`).
  func prepareRegion(_ vma: VMA) -> AnonymousRegion {
    if let region = vma.anonymous { return region }
    let region = neighbourRegion(vma) ?? manager.makeRegion()
    vma.anonymous = region
    region.join(vma)
    return region
  }

  private func neighbourRegion(_ vma: VMA) -> AnonymousRegion? {
    let place = firstMapping(above: vma.start)
    if place + 1 < mappings.count {
      let next = mappings[place + 1]
      if vma.end == next.start, vma.isLike(next), let region = next.anonymous { return region }
    }
    if place > 0 {
      let previous = mappings[place - 1]
      if previous.end == vma.start, previous.isLike(vma) { return previous.anonymous }
    }
    return nil
  }

  /// The mapping goes; a region without mappings is forgotten, and so is shared memory.
  func leaveRegion(_ vma: VMA) {
    vma.file?.leave(vma)
    if vma.flags.contains(.hugetlb) { vma.leaveHugetlb() }
    guard let region = vma.anonymous else { return }
    region.leave(vma)
    if region.mappings.isEmpty { manager.anonymousRegions[region.number] = nil }
    vma.anonymous = nil
  }
}

extension MemoryManager {
  /// Region numbers are never used twice, so a page that outlives its mapping can't be taken for
  /// another region's.
  func makeRegion() -> AnonymousRegion {
    let number = anonymousRegions.count
    invariant(number < AnonymousPlace.regionLimit, "\(number) anonymous regions")
    let region = AnonymousRegion(number: number)
    anonymousRegions.append(region)
    return region
  }

  /// The mappings through which a page may be reached, with process and address of each.
  ///
  /// A process is held by the answer: it may exit while the caller sleeps.
  func places(of pfn: Int) -> [(vma: VMA, space: AddressSpace, address: VirtualAddress)] {
    let place = pages[pfn].anonymous
    let mappings =
      place.isFile ? files[place.region]?.mappings : anonymousRegions[place.region]?.mappings
    var found: [(vma: VMA, space: AddressSpace, address: VirtualAddress)] = []
    for vma in mappings ?? [] {
      if let address = vma.address(ofIndex: place.index) {
        found.append((vma, vma.space, address))
      }
    }
    return found
  }
}
