/// A flat table of trivial records over lazily mapped memory: what was never touched costs nothing,
/// and every record starts as zero bytes.
///
/// Used where one record per page is kept. Indexing is bounds-checked in every build.
@safe
public struct RecordTable<Record: BitwiseCopyable>: ~Copyable {
  @usableFromInline let memory: MappedMemory
  @usableFromInline let base: UnsafeMutablePointer<Record>
  /// The number of records.
  public let count: Int

  /// Maps a table of `count` zeroed records; `ENOMEM` when the address space refuses.
  public init(
    count: Int, of type: Record.Type = Record.self, from supply: MemorySupply? = nil
  ) throws(KernelError) {
    memory = try MappedMemory(
      count: max(1, count) * MemoryLayout<Record>.stride, from: supply)
    self.count = count
    let raw = unsafe memory.pointer(at: 0, length: memory.count)
    unsafe base = raw.assumingMemoryBound(to: Record.self)
  }

  /// The record at `index`; traps outside `0..<count`.
  @inlinable
  public subscript(index: Int) -> Record {
    @inline(__always)
    unsafeAddress {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "record \(index) of \(count)")
      return unsafe UnsafePointer(base + index)
    }
    @inline(__always)
    nonmutating unsafeMutableAddress {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "record \(index) of \(count)")
      let stride = MemoryLayout<Record>.stride
      memory.willWrite(at: index * stride, length: stride)
      return unsafe base + index
    }
  }

  /// Changes records in a row, with one check for all of them; traps outside `0..<count`.
  @inlinable
  @inline(__always)
  public func update(_ range: Range<Int>, _ change: (inout Record) -> Void) {
    invariant(
      range.lowerBound >= 0 && range.upperBound <= count, "records \(range) of \(count)")
    let stride = MemoryLayout<Record>.stride
    memory.willWrite(at: range.lowerBound * stride, length: range.count * stride)
    for index in range { unsafe change(&base[index]) }
  }

  /// Bytes of one record in the table.
  public static var bytesPerRecord: Int { MemoryLayout<Record>.stride }

  /// Returns the pages that lie wholly inside these records to the host; they read as zero again.
  public func discard(_ range: Range<Int>) {
    let stride = MemoryLayout<Record>.stride
    let low = (range.lowerBound * stride + PageSize.bytes - 1) & ~(PageSize.bytes - 1)
    let high = (range.upperBound * stride) & ~(PageSize.bytes - 1)
    if high > low { memory.discard(at: low, count: high - low) }
  }
}
