public import Base

/// A piece of memory that driver and device share.
public struct CoherentBuffer {
  /// What the device is told.
  public let address: DMAAddress
  /// Bytes, a multiple of the page size.
  public let byteCount: Int
  @usableFromInline let memory: MappedMemory
  @usableFromInline let offset: Int

  /// A word as the CPU reads it.
  @inlinable
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at byte: Int) -> T {
    invariant(byte >= 0 && byte + MemoryLayout<T>.size <= byteCount, "coherent load at \(byte)")
    return memory.load(type, at: offset + byte)
  }

  /// Writes a word as the CPU does.
  @inlinable
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at byte: Int) {
    invariant(byte >= 0 && byte + MemoryLayout<T>.size <= byteCount, "coherent store at \(byte)")
    memory.store(value, at: offset + byte)
  }

  /// Fills the whole buffer with zeros.
  public func clear() { memory.fill(0, at: offset, length: byteCount) }
}

/// The memory behind a device's coherent allocations: first fit over whole pages.
final class CoherentPool {
  private let memory: MappedMemory
  /// Free runs in pages, sorted and merged.
  private var free: [Range<Int>]
  /// Runs in use, sorted.
  private var used: [Range<Int>] = []
  /// Pages from here on were never handed out and read as zero.
  private var untouched = 0

  init(byteCount: Int, from supply: MemorySupply?) throws(KernelError) {
    memory = try MappedMemory(count: byteCount, from: supply)
    free = [0..<(byteCount / PageSize.bytes)]
  }

  var bytesInUse: Int { used.reduce(0) { $0 + $1.count } * PageSize.bytes }

  func allocate(bytes: Int) throws(KernelError) -> CoherentBuffer {
    guard bytes > 0 else { throw .EINVAL }
    let wanted = Int(PageSize.pages(forBytes: UInt64(bytes)))
    guard let index = free.firstIndex(where: { $0.count >= wanted }) else { throw .ENOMEM }
    let run = free[index]
    let taken = run.lowerBound..<(run.lowerBound + wanted)
    if taken.count == run.count {
      free.remove(at: index)
    } else {
      free[index] = taken.upperBound..<run.upperBound
    }
    used.insert(taken, at: used.firstIndex { $0.lowerBound > taken.lowerBound } ?? used.count)
    let offset = taken.lowerBound * PageSize.bytes
    let buffer = CoherentBuffer(
      address: DMAAddress(DMAAddressSpace.coherentBase + UInt64(offset)),
      byteCount: wanted * PageSize.bytes, memory: memory, offset: offset)
    // Fresh pages need no clearing, and so cost nothing until they are used.
    let stale = min(taken.upperBound, untouched) - taken.lowerBound
    if stale > 0 { memory.fill(0, at: offset, length: stale * PageSize.bytes) }
    untouched = max(untouched, taken.upperBound)
    return buffer
  }

  func free(_ buffer: CoherentBuffer) {
    let first = buffer.offset / PageSize.bytes
    guard let index = used.firstIndex(where: { $0.lowerBound == first }) else {
      invariantFailed("dma_free_coherent of \(buffer.address), which is not allocated")
    }
    var run = used.remove(at: index)
    let after = free.firstIndex { $0.lowerBound > run.lowerBound } ?? free.count
    if after < free.count, free[after].lowerBound == run.upperBound {
      run = run.lowerBound..<free.remove(at: after).upperBound
    }
    if after > 0, free[after - 1].upperBound == run.lowerBound {
      free[after - 1] = free[after - 1].lowerBound..<run.upperBound
    } else {
      free.insert(run, at: after)
    }
  }

  func resolve(_ address: DMAAddress) -> DMATarget? {
    let offset = address.rawValue - DMAAddressSpace.coherentBase
    let page = Int(offset >> UInt64(PageSize.shift))
    guard let run = used.first(where: { $0.contains(page) }) else { return nil }
    let byte = Int(offset)
    return DMATarget(
      memory: memory, offset: byte, length: run.upperBound * PageSize.bytes - byte)
  }
}
