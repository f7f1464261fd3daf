import Base

/// Free ranges of GPU addresses, first fit (`nvkm_vma` trees of a `nvkm_vmm`).
struct AddressRanges {
  /// Sorted, never adjacent.
  private var free: [Range<UInt64>]

  init(_ range: Range<GPUVirtualAddress>) {
    free = [range.lowerBound.rawValue..<range.upperBound.rawValue]
  }

  mutating func allocate(_ bytes: UInt64, _ alignment: UInt64) -> GPUVirtualAddress? {
    for index in free.indices {
      let run = free[index]
      let start = (run.lowerBound + alignment - 1) & ~(alignment - 1)
      guard start < run.upperBound, run.upperBound - start >= bytes else { continue }
      let end = start + bytes
      var rest: [Range<UInt64>] = []
      if start > run.lowerBound { rest.append(run.lowerBound..<start) }
      if end < run.upperBound { rest.append(end..<run.upperBound) }
      free.replaceSubrange(index...index, with: rest)
      return GPUVirtualAddress(start)
    }
    return nil
  }

  mutating func free(_ address: GPUVirtualAddress, _ bytes: UInt64) {
    var run = address.rawValue..<(address.rawValue + bytes)
    var at = free.firstIndex { $0.lowerBound >= run.upperBound } ?? free.count
    invariant(
      at == 0 || free[at - 1].upperBound <= run.lowerBound, "GPU address \(address) is freed twice")
    if at < free.count, free[at].lowerBound == run.upperBound {
      run = run.lowerBound..<free.remove(at: at).upperBound
    }
    if at > 0, free[at - 1].upperBound == run.lowerBound {
      at -= 1
      run = free[at].lowerBound..<run.upperBound
      free[at] = run
    } else {
      free.insert(run, at: at)
    }
  }
}
