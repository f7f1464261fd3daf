#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A range of zeroed memory that costs address space until it is touched.
///
/// Backs RAM, VRAM and the tables indexed by page: 64 GiB of it can be made on a small machine.
/// The memory reads as zero until written, and is returned when the object goes.
///
/// UNSAFE: this file and its neighbours are where raw memory is handled; every entry point checks
/// its range, so that users need no `unsafe`.
@safe
public final class MappedMemory: @unchecked Sendable {
  // Sendable is claimed by hand: the object itself never changes after init. Who touches which
  // bytes when is ordered by the owner (a copy job and the machine never share a range while the
  // job runs). Memory of a supply stays on its thread: machines with worker threads take none.

  /// The first byte; page aligned.
  @usableFromInline let base: UnsafeMutableRawPointer
  /// The length in bytes.
  public let count: Int
  /// Where the memory goes back to; nil for the host.
  private let supply: MemorySupply?
  /// One byte a page, set by writes, for a supply to know what it has to zero.
  @usableFromInline let marks: UnsafeMutablePointer<UInt8>?

  /// `count` zeroed bytes, mapped from the host or taken from `supply`; `ENOMEM` when the address
  /// space refuses, `EINVAL` for no bytes.
  public init(count: Int, from supply: MemorySupply? = nil) throws(KernelError) {
    guard count > 0 else { throw .EINVAL }
    let rounded = (count + PageSize.bytes - 1) & ~(PageSize.bytes - 1)
    self.supply = supply
    self.count = rounded
    if let supply {
      let piece = try supply.take(rounded)
      unsafe base = piece.base
      unsafe marks = piece.marks
    } else {
      unsafe base = unsafe try Self.map(rounded)
      unsafe marks = nil
    }
  }

  deinit {
    if let supply, let marks = unsafe marks {
      supply.give(unsafe MemorySupply.Piece(base: base, marks: marks, count: count))
    } else {
      _ = unsafe munmap(base, count)
    }
  }

  /// Gives the pages back to the host and keeps the addresses: everything reads as zero again.
  public func discard() { _ = unsafe madvise(base, count, MADV_DONTNEED) }

  /// Zeroed pages from the host.
  static func map(_ count: Int) throws(KernelError) -> UnsafeMutableRawPointer {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let mapped = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw .ENOMEM }
    return unsafe mapped
  }

  /// Says that bytes are about to be written by other ways than the functions below: a table over
  /// this memory calls it for the records that it hands out.
  @inlinable
  @inline(__always)
  public func willWrite(at offset: Int, length: Int) {
    if let marks = unsafe marks {
      var page = offset >> PageSize.shift
      let last = (offset + max(length, 1) - 1) >> PageSize.shift
      invariant(page >= 0 && last < count >> PageSize.shift, "a write at \(offset) of \(count)")
      while page <= last {
        unsafe marks[page] = 1
        page += 1
      }
    }
  }

  /// Whether `length` bytes at `offset` lie inside.
  @inlinable
  @inline(__always)
  public func contains(_ offset: Int, _ length: Int) -> Bool {
    offset >= 0 && length >= 0 && offset <= count - length
  }

  /// The address of `length` checked bytes at `offset`, for the memory files only.
  @inlinable
  @inline(__always)
  @unsafe
  public func pointer(at offset: Int, length: Int) -> UnsafeMutableRawPointer {
    if _slowPath(!contains(offset, length)) { refuse(offset, length) }
    return unsafe base + offset
  }

  /// Apart from ``pointer(at:length:)``, so that its uses stay small.
  @usableFromInline
  @inline(never)
  func refuse(_ offset: Int, _ length: Int) -> Never {
    invariantFailed("bytes \(offset)+\(length) outside \(count)")
  }
}

extension MappedMemory {
  /// A little-endian integer at `offset`, which need not be aligned.
  @inlinable
  @inline(__always)
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
    unsafe pointer(at: offset, length: MemoryLayout<T>.size).loadUnaligned(as: T.self)
  }

  /// Stores a little-endian integer at `offset`, which need not be aligned.
  @inlinable
  @inline(__always)
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    let target = unsafe pointer(at: offset, length: MemoryLayout<T>.size)
    willWrite(at: offset, length: MemoryLayout<T>.size)
    unsafe target.storeBytes(of: value, as: T.self)
  }

  /// Stores `first`, `first + step`, … as `count` 64-bit words from `offset` on.
  public func storeSeries(_ first: UInt64, step: UInt64, at offset: Int, count: Int) {
    let target = unsafe pointer(at: offset, length: 8 * count)
    if count == 0 { return }
    willWrite(at: offset, length: 8 * count)
    var word = first
    for index in 0..<count {
      unsafe target.storeBytes(of: word, toByteOffset: 8 * index, as: UInt64.self)
      word &+= step
    }
  }

  /// Copies `length` bytes; the two ranges may lie in one mapping and may overlap.
  @inlinable
  @inline(__always)
  public func copy(from source: MappedMemory, at from: Int, to: Int, length: Int) {
    let src = unsafe source.pointer(at: from, length: length)
    let dst = unsafe pointer(at: to, length: length)
    if length > 0 { willWrite(at: to, length: length) }
    unsafe dst.copyMemory(from: src, byteCount: length)
  }

  /// Sets `length` bytes to `value`.
  @inlinable
  @inline(__always)
  public func fill(_ value: UInt8, at offset: Int, length: Int) {
    let dst = unsafe pointer(at: offset, length: length)
    if length > 0 { willWrite(at: offset, length: length) }
    _ = unsafe dst.initializeMemory(as: UInt8.self, repeating: value, count: length)
  }

  /// The bytes at `offset`, as an array of their own.
  public func bytes(at offset: Int, count: Int) -> [UInt8] {
    let src = unsafe pointer(at: offset, length: count)
    return unsafe [UInt8](UnsafeRawBufferPointer(start: src, count: count))
  }

  /// `count` little-endian 64-bit words at `offset`, as an array of their own.
  public func words(at offset: Int, count: Int) -> [UInt64] {
    let source = unsafe pointer(at: offset, length: 8 * count)
    return (0..<count).map {
      unsafe source.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)
    }
  }

  /// Stores an array's bytes at `offset`.
  public func store(bytes: [UInt8], at offset: Int) {
    let dst = unsafe pointer(at: offset, length: bytes.count)
    if !bytes.isEmpty { willWrite(at: offset, length: bytes.count) }
    unsafe bytes.withUnsafeBytes { source in
      if let start = source.baseAddress {
        unsafe dst.copyMemory(from: start, byteCount: bytes.count)
      }
    }
  }

  /// Hands `body` a view of `count` bytes at `offset`; the view can't outlive the call.
  @inlinable
  @inline(__always)
  public func withBytes<R, E: Error>(
    at offset: Int, count: Int, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    let start = unsafe UnsafeRawPointer(pointer(at: offset, length: count))
    return try body(unsafe RawSpan(_unsafeStart: start, byteCount: count))
  }

  /// Gives the pages of the range back to the host; they read as zero again. Page granular.
  /// Memory of a supply is zeroed instead, since somebody will use it soon.
  public func discard(at offset: Int, count: Int) {
    let start = unsafe pointer(at: offset, length: count)
    if let marks = unsafe marks {
      for page in offset >> PageSize.shift..<(offset + count) >> PageSize.shift
      where unsafe marks[page] != 0 {
        fill(0, at: page << PageSize.shift, length: PageSize.bytes)
      }
      return
    }
    _ = unsafe madvise(start, count, MADV_DONTNEED)
  }
}
