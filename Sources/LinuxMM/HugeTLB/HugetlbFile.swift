public import Base
import KernelRuntime

/// A file of huge pages (an inode of `hugetlbfs`, `memfd_create` with `MFD_HUGETLB`). The pages are
/// the bytes: there is no disk behind them, and nothing is written back.
public final class HugetlbFile {
  public let name: String
  public unowned let manager: MemoryManager
  /// Its length in huge pages (`i_size`); a touch beyond it gets SIGBUS.
  public internal(set) var hugePages: Int
  /// The first page of each huge page that it has, by index (`i_pages`); the file holds one
  /// reference of each.
  var pages = IndexedTable<PFN>()
  /// What its shared mappings were promised.
  let promise = HugetlbPromise()
  private(set) var mappings = 0
  /// Nobody can map it again: it goes with its last mapping.
  private var isUnlinked: Bool

  init(_ manager: MemoryManager, _ name: String, hugePages: Int, isUnlinked: Bool) {
    self.manager = manager
    self.name = name
    self.hugePages = hugePages
    self.isUnlinked = isUnlinked
  }

  func join() { mappings += 1 }

  func leave() {
    mappings -= 1
    if mappings == 0 && isUnlinked { discard() }
  }

  /// The first page of the huge page at `index`; nil where it has none.
  public func page(_ index: Int) -> PFN? { index < 0 ? nil : pages[UInt64(index)] }

  /// Promises what shared mappings of `range` have neither got nor been promised
  /// (`hugetlb_reserve_pages`); `ENOMEM` when the pool has too few pages, and nothing is promised.
  func reserve(_ range: Range<UInt64>) throws(KernelError) {
    let missing = range.filter { pages[$0] == nil && promise.count(in: $0..<$0 + 1) == 0 }
    try manager.reserveHugetlb(missing.count)
    for index in missing { promise.add(index) }
  }

  /// A new page of zeroes at `index`, from what was promised or what is free; nil without one.
  func fill(_ index: UInt64) -> Int? {
    guard let head = manager.takeHugetlb(promised: promise.take(index)) else { return nil }
    manager.clearHuge(PFN(UInt64(head)))
    pages[index] = PFN(UInt64(head))
    return head
  }

  /// Gives every place of the file a page of zeroes that has none (`fallocate`).
  ///
  /// `ENOSPC` when the pool runs out; pages that it has got till then stay.
  public func allocate() throws(KernelError) {
    for index in 0..<UInt64(hugePages) where pages[index] == nil {
      guard fill(index) != nil else { throw .ENOSPC }
    }
  }

  /// Gives its pages and promises back; pages that somebody still holds follow later (`unlink`).
  ///
  /// `EBUSY` while a mapping of it stands, `ENOENT` the second time.
  public func evict() throws(KernelError) {
    guard mappings == 0 else { throw .EBUSY }
    guard !isUnlinked else { throw .ENOENT }
    isUnlinked = true
    discard()
  }

  private func discard() {
    manager.hugetlb.reserved -= promise.remove(0..<UInt64.max)
    for head in pages.values { manager.drop(head.index) }
    pages = IndexedTable()
    manager.hugetlb.files.removeAll { $0 === self }
  }
}

extension MemoryManager {
  /// A new file of huge pages, `bytes` rounded up; it has no pages yet.
  ///
  /// `EOVERFLOW` beyond the longest file.
  public func createHugetlbFile(_ name: String, bytes: UInt64) throws(KernelError) -> HugetlbFile {
    guard bytes <= MappedFile.sizeLimit else { throw .EOVERFLOW }
    return makeHugetlbFile(name, bytes: bytes, isUnlinked: false)
  }

  /// - Parameter isUnlinked: the memory behind a shared mapping, which only its mappings know.
  func makeHugetlbFile(_ name: String, bytes: UInt64, isUnlinked: Bool) -> HugetlbFile {
    let size = UInt64(HugePage.bytes)
    let file = HugetlbFile(
      self, name, hugePages: Int((bytes + size - 1) / size), isUnlinked: isUnlinked)
    hugetlb.files.append(file)
    return file
  }
}
