import Base

/// A bounds-checked window on records of one kind in memory that somebody else owns.
///
/// Copied into a local before a hot loop, it is a pointer and a count in registers: no reference
/// counting, no exclusivity check, one compare an access.
///
/// UNSAFE: the view doesn't keep its memory alive. Views are internal to this module and stored
/// beside the ``MappedMemory`` or ``FlatBuffer`` that owns the bytes.
@safe
struct FlatView<Record: BitwiseCopyable> {
  let base: UnsafeMutablePointer<Record>
  let count: Int

  /// Views `count` records that begin `offset` bytes into `memory`, which is suitably aligned.
  init(_ memory: MappedMemory, at offset: Int, count: Int) {
    let bytes = count * MemoryLayout<Record>.stride
    let raw = unsafe memory.pointer(at: offset, length: bytes)
    unsafe base = raw.assumingMemoryBound(to: Record.self)
    self.count = count
  }

  init(_ buffer: FlatBuffer<Record>) {
    unsafe base = buffer.base
    count = buffer.count
  }

  /// The record at `index`; traps outside `0..<count`.
  subscript(index: Int) -> Record {
    @inline(__always)
    unsafeAddress {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "record \(index) of \(count)")
      return unsafe UnsafePointer(base + index)
    }
    @inline(__always)
    nonmutating unsafeMutableAddress {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "record \(index) of \(count)")
      return unsafe base + index
    }
  }

  /// The 512 records that begin at `first`, indexed without a check because the index is masked.
  @inline(__always)
  func block(at first: Int) -> FlatBlock<Record> {
    invariant(first >= 0 && first <= count - 512, "block \(first) of \(count)")
    return unsafe FlatBlock(base + first)
  }
}

/// 512 records in a row: one page-table page.
@safe
struct FlatBlock<Record: BitwiseCopyable> {
  private let base: UnsafeMutablePointer<Record>

  @unsafe
  fileprivate init(_ base: UnsafeMutablePointer<Record>) { unsafe self.base = unsafe base }

  /// The record at `index`, taken modulo 512.
  subscript(index: Int) -> Record {
    @inline(__always)
    unsafeAddress { unsafe UnsafePointer(base + (index & 511)) }
    @inline(__always)
    nonmutating unsafeMutableAddress { unsafe base + (index & 511) }
  }
}

/// A heap block of trivial records that starts as zero bytes and never moves.
@safe
final class FlatBuffer<Record: BitwiseCopyable> {
  let base: UnsafeMutablePointer<Record>
  let count: Int

  init(count: Int, zero: Record) {
    unsafe base = UnsafeMutablePointer<Record>.allocate(capacity: max(1, count))
    unsafe base.initialize(repeating: zero, count: max(1, count))
    self.count = count
  }

  deinit { unsafe base.deallocate() }
}
