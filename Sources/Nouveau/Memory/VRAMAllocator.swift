package import Base
package import KernelRuntime

/// Hands out contiguous VRAM in whole pages of 4 KiB, first fit.
///
/// Kernel: nvkm_mm_head (nvkm/core/mm.c)
package final class VRAMAllocator {
  private let kernel: Kernel
  /// Free runs of page numbers, sorted, never adjacent.
  private var free: [Range<UInt64>]
  /// Bytes the driver may use in all.
  package let capacity: UInt64
  package private(set) var bytesInUse: UInt64 = 0
  /// Allocations that were not freed yet.
  package private(set) var allocationCount = 0

  package init(_ kernel: Kernel, _ ranges: [Range<VRAMAddress>]) {
    self.kernel = kernel
    let shift = UInt64(PageSize.shift)
    free = ranges.map {
      ($0.lowerBound.rawValue >> shift)..<($0.upperBound.rawValue >> shift)
    }
    capacity = free.reduce(0) { $0 + UInt64($1.count) << shift }
  }

  package var bytesFree: UInt64 { capacity - bytesInUse }

  /// Contiguous memory of `bytes` rounded up to pages, at a multiple of `alignment`, a power of
  /// two. `EINVAL` for no bytes, `ENOMEM` when no run is long enough. Passes `nouveau.vram_alloc`.
  package func allocate(bytes: UInt64, alignment: UInt64 = UInt64(PageSize.bytes))
    throws(KernelError) -> VRAMAddress
  {
    try kernel.failures.check(.vramAlloc)
    invariant(alignment.nonzeroBitCount == 1, "alignment \(alignment) is no power of two")
    guard bytes > 0 else { throw .EINVAL }
    let pages = PageSize.pages(forBytes: bytes)
    let mask = max(alignment >> UInt64(PageSize.shift), 1) - 1
    for index in free.indices {
      let run = free[index]
      let start = (run.lowerBound + mask) & ~mask
      guard start < run.upperBound, run.upperBound - start >= pages else { continue }
      let end = start + pages
      switch (start > run.lowerBound, end < run.upperBound) {
      case (false, false): free.remove(at: index)
      case (false, true): free[index] = end..<run.upperBound
      case (true, false): free[index] = run.lowerBound..<start
      case (true, true):
        free[index] = run.lowerBound..<start
        free.insert(end..<run.upperBound, at: index + 1)
      }
      bytesInUse += pages << UInt64(PageSize.shift)
      allocationCount += 1
      return VRAMAddress(start << UInt64(PageSize.shift))
    }
    throw .ENOMEM
  }

  /// Takes back what ``allocate(bytes:alignment:)`` gave for the same number of bytes.
  ///
  /// Kernel: nvkm_mm_free (nvkm/core/mm.c)
  package func free(_ address: VRAMAddress, bytes: UInt64) {
    let start = address.rawValue >> UInt64(PageSize.shift)
    let pages = PageSize.pages(forBytes: bytes)
    var run = start..<(start + pages)
    let next = firstRun(after: start)
    invariant(
      (next == free.count || free[next].lowerBound >= run.upperBound)
        && (next == 0 || free[next - 1].upperBound <= run.lowerBound),
      "VRAM at \(address) is freed twice")
    bytesInUse -= pages << UInt64(PageSize.shift)
    allocationCount -= 1
    let joinsNext = next < free.count && free[next].lowerBound == run.upperBound
    let joinsPrevious = next > 0 && free[next - 1].upperBound == run.lowerBound
    if joinsNext { run = run.lowerBound..<free[next].upperBound }
    if joinsPrevious { run = free[next - 1].lowerBound..<run.upperBound }
    switch (joinsPrevious, joinsNext) {
    case (true, true):
      free[next - 1] = run
      free.remove(at: next)
    case (true, false): free[next - 1] = run
    case (false, true): free[next] = run
    case (false, false): free.insert(run, at: next)
    }
  }

  /// The index of the first free run that begins after `page`.
  private func firstRun(after page: UInt64) -> Int {
    var low = 0
    var high = free.count
    while low < high {
      let middle = (low + high) / 2
      if free[middle].lowerBound > page { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
