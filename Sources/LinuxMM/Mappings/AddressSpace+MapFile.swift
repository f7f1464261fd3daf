public import Base
import KernelRuntime

extension AddressSpace {
  /// Maps `bytes` of a file from `offset` on, rounded up to pages (`mmap` of a file).
  ///
  /// A shared mapping writes to the file's pages; a private one gets copies of its own at the first
  /// write. Addresses beyond the end of the file can be mapped, but a touch gets SIGBUS.
  ///
  /// `EINVAL` for no bytes, an offset or an address that isn't page aligned; `EOVERFLOW` when the
  /// range ends beyond the longest file; `EACCES` for a shared writable mapping of a file opened
  /// for reading; `EEXIST` and `ENOMEM` as for anonymous memory.
  public func map(
    _ file: MappedFile, offset: UInt64 = 0, bytes: UInt64, _ protection: Protection, shared: Bool,
    at: VirtualAddress? = nil, name: String = ""
  ) async throws(KernelError) -> VirtualAddress {
    guard bytes > 0, offset & UInt64(PageSize.bytes - 1) == 0 else { throw .EINVAL }
    guard bytes <= VirtualRange.user.bytes, !isExiting else { throw .ENOMEM }
    guard offset <= MappedFile.sizeLimit, bytes <= MappedFile.sizeLimit - offset else {
      throw .EOVERFLOW
    }
    return try await map(
      file, page: offset >> UInt64(PageSize.shift), bytes: bytes, protection,
      shared ? [.file, .shared] : .file, at: at, name)
  }

  /// Maps a file or shared memory, after the arguments were looked at.
  func map(
    _ file: MappedFile, page: UInt64, bytes: UInt64, _ protection: Protection, _ flags: VMA.Flags,
    at: VirtualAddress?, _ name: String
  ) async throws(KernelError) -> VirtualAddress {
    if flags.contains(.shared) && file.isReadOnly && protection.contains(.write) {
      throw .EACCES
    }
    await mmapLock.lock()
    defer { mmapLock.unlock() }
    let range = try findPlace(bytes, at)
    let vma = VMA(self, range, protection, flags, name, pageOffset: page)
    vma.file = file
    file.join(vma)
    insert(vma)
    merge(around: range)
    return range.start
  }
}
