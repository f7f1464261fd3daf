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
  // job runs).

  /// The first byte; page aligned.
  @usableFromInline let base: UnsafeMutableRawPointer
  /// The length in bytes.
  public let count: Int

  /// Maps `count` zeroed bytes; `ENOMEM` when the address space refuses, `EINVAL` for no bytes.
  public init(count: Int) throws(KernelError) {
    guard count > 0 else { throw .EINVAL }
    let rounded = (count + PageSize.bytes - 1) & ~(PageSize.bytes - 1)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let mapped = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw .ENOMEM }
    unsafe self.base = mapped
    self.count = rounded
  }

  deinit {
    _ = unsafe munmap(base, count)
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
    unsafe target.storeBytes(of: value, as: T.self)
  }

  /// Stores `first`, `first + step`, … as `count` 64-bit words from `offset` on.
  public func storeSeries(_ first: UInt64, step: UInt64, at offset: Int, count: Int) {
    let target = unsafe pointer(at: offset, length: 8 * count)
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
    unsafe dst.copyMemory(from: src, byteCount: length)
  }

  /// Sets `length` bytes to `value`.
  @inlinable
  @inline(__always)
  public func fill(_ value: UInt8, at offset: Int, length: Int) {
    let dst = unsafe pointer(at: offset, length: length)
    _ = unsafe dst.initializeMemory(as: UInt8.self, repeating: value, count: length)
  }

  /// The bytes at `offset`, as an array of their own.
  public func bytes(at offset: Int, count: Int) -> [UInt8] {
    let src = unsafe pointer(at: offset, length: count)
    return unsafe [UInt8](UnsafeRawBufferPointer(start: src, count: count))
  }

  /// Stores an array's bytes at `offset`.
  public func store(bytes: [UInt8], at offset: Int) {
    let dst = unsafe pointer(at: offset, length: bytes.count)
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
  public func discard(at offset: Int, count: Int) {
    let start = unsafe pointer(at: offset, length: count)
    _ = unsafe madvise(start, count, MADV_DONTNEED)
  }
}
