public import Base
import KernelRuntime

/// A file as mappings see it: its size, its pages in the page cache, its bytes on the disk
/// (`struct inode` with its `struct address_space`).
///
/// A page of the cache has one reference of the cache's own; its record names the file and the
/// index, so that the reverse map leads through ``mappings``.
public final class MappedFile {
  public enum Kind: String, Sendable {
    /// Bytes on a disk: pages are read when touched, and written back when dirty.
    case regular
    /// The pages are the bytes (`shmem`, `tmpfs`); what nobody wrote reads as zeroes.
    case sharedMemory
  }

  public let name: String
  public let kind: Kind
  /// Opened for reading alone: no mapping may write to it.
  public let isReadOnly: Bool
  /// The disk is memory that mappings use directly (`IS_DAX`): nothing of it migrates.
  public let isDAX: Bool
  public unowned let manager: MemoryManager
  /// Its number in the page records.
  let number: Int
  /// In bytes (`i_size`).
  public internal(set) var size: UInt64
  /// Pages by index (`i_pages`).
  var cache = IndexedTable<PFN>()
  /// Slots of swap space that hold pages of shared memory, by index. While a page is on its way,
  /// locked, it is in both tables.
  var swapped = IndexedTable<Int>()
  /// What the disk holds, by index; what is missing reads as zeroes.
  var blocks = IndexedTable<[UInt8]>()
  /// The mappings of the file, shared and private (`i_mmap`).
  private(set) var mappings: [VMA] = []
  /// Whether the last mapping takes the file with it: nobody else knows it.
  let isInternal: Bool

  init(
    _ manager: MemoryManager, _ name: String, _ kind: Kind, size: UInt64, number: Int,
    isReadOnly: Bool, isDAX: Bool, isInternal: Bool
  ) {
    self.manager = manager
    self.name = name
    self.kind = kind
    self.size = size
    self.number = number
    self.isReadOnly = isReadOnly
    self.isDAX = isDAX
    self.isInternal = isInternal
  }

  /// Pages that the size reaches into.
  var pageCount: UInt64 { PageSize.pages(forBytes: size) }
  /// Whether a first write to a page must be noticed, so that it can be written back
  /// (`vma_wants_writenotify`).
  var tracksWrites: Bool { kind == .regular }
  /// Pages in the cache (`nrpages`).
  public var cachedPages: Int { cache.count }
  /// The page of the cache at `index`, if there is one; for audits and expectations.
  public func cachedPage(_ index: UInt64) -> PFN? { cache[index] }

  /// The slot of swap space that holds the page at `index`, if one does; for audits and
  /// expectations.
  public func swappedSlot(_ index: UInt64) -> UInt64? { swapped[index].map { UInt64($0) } }

  func join(_ vma: VMA) { mappings.append(vma) }

  func abandon() { mappings = [] }

  func leave(_ vma: VMA) {
    mappings.removeAll { $0 === vma }
    if mappings.isEmpty && isInternal { discardCache() }
  }

  /// Frees every page of a file that nobody can reach any more.
  private func discardCache() {
    while let (index, pfn) = cache.first(in: 0..<UInt64.max) { removePage(pfn, index) }
    dropSwapped(0..<UInt64.max)
    manager.files[number] = nil
  }
}

extension MemoryManager {
  /// A new file of `bytes` bytes, all of them zero.
  ///
  /// `EFBIG`, here `EOVERFLOW`, when the page indices would not fit.
  public func createFile(
    _ name: String, bytes: UInt64, kind: MappedFile.Kind = .regular, isReadOnly: Bool = false,
    isDAX: Bool = false
  ) throws(KernelError) -> MappedFile {
    try makeFile(
      name, bytes: bytes, kind, isReadOnly: isReadOnly, isDAX: isDAX, isInternal: false)
  }

  /// The memory behind a shared anonymous mapping (`shmem_zero_setup`).
  func makeSharedMemory(bytes: UInt64) throws(KernelError) -> MappedFile {
    try makeFile(
      "dev/zero", bytes: bytes, .sharedMemory, isReadOnly: false, isDAX: false, isInternal: true)
  }

  private func makeFile(
    _ name: String, bytes: UInt64, _ kind: MappedFile.Kind, isReadOnly: Bool, isDAX: Bool,
    isInternal: Bool
  ) throws(KernelError) -> MappedFile {
    guard bytes <= MappedFile.sizeLimit else { throw .EOVERFLOW }
    let number = files.count
    invariant(number < AnonymousPlace.regionLimit, "\(number) files")
    let file = MappedFile(
      self, name, kind, size: bytes, number: number, isReadOnly: isReadOnly, isDAX: isDAX,
      isInternal: isInternal)
    files.append(file)
    return file
  }
}

extension MappedFile {
  /// The longest file: page indices have 36 bits.
  public static let sizeLimit: UInt64 = 1 << 47
}
