import Base

/// One mapping of a process (`vm_area_struct`).
public final class VMA {
  /// What a mapping is, beside its protection.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Private anonymous memory: empty places may be filled.
    public static let anonymous = Flags(rawValue: 1 << 0)
    /// A driver's own mapping (`VM_IO`, `VM_PFNMAP`, `VM_MIXEDMAP`): nothing here migrates, and a
    /// touch of what the driver didn't map gets SIGBUS because no fault handler stands behind it.
    public static let special = Flags(rawValue: 1 << 1)
    /// A userfaultfd watches missing pages (`VM_UFFD_MISSING`), in its SIGBUS mode.
    public static let userfaultMissing = Flags(rawValue: 1 << 2)
    /// Writes are seen by every process that maps the same (`VM_SHARED`).
    public static let shared = Flags(rawValue: 1 << 3)
    /// Pages come from a file, or from the shared memory behind a shared anonymous mapping.
    public static let file = Flags(rawValue: 1 << 4)
    /// Huge pages of the pool (`VM_HUGETLB`).
    public static let hugetlb = Flags(rawValue: 1 << 5)
    /// With `hugetlb`: the process that made the mapping took a page back from this child of its,
    /// so an empty place gets SIGBUS (`HPAGE_RESV_UNMAPPED`).
    public static let hugetlbTaken = Flags(rawValue: 1 << 14)
    /// With `special`: frames without a page behind them (`VM_PFNMAP`).
    public static let pfnMap = Flags(rawValue: 1 << 6)
    /// A child of `fork` doesn't get the mapping (`VM_DONTCOPY`).
    public static let dontFork = Flags(rawValue: 1 << 7)
    /// A child of `fork` gets the mapping empty (`VM_WIPEONFORK`).
    public static let wipeOnFork = Flags(rawValue: 1 << 15)
    /// With `special`: frames with and without a page behind them (`VM_MIXEDMAP`).
    public static let mixedMap = Flags(rawValue: 1 << 16)
    /// Huge pages are wanted (`VM_HUGEPAGE`).
    public static let hugePage = Flags(rawValue: 1 << 12)
    /// Huge pages are not wanted (`VM_NOHUGEPAGE`).
    public static let noHugePage = Flags(rawValue: 1 << 13)
    /// The pages stay in RAM (`VM_LOCKED`): reclaim leaves them alone.
    public static let locked = Flags(rawValue: 1 << 8)
    /// With `locked`: pages are locked when they are touched, not all at once (`VM_LOCKONFAULT`).
    public static let lockedOnFault = Flags(rawValue: 1 << 9)
    /// A userfaultfd watches writes to protected pages (`VM_UFFD_WP`).
    public static let userfaultWriteProtect = Flags(rawValue: 1 << 10)
    /// A userfaultfd watches pages of shared memory that aren't mapped yet (`VM_UFFD_MINOR`).
    public static let userfaultMinor = Flags(rawValue: 1 << 11)
  }

  public internal(set) var range: VirtualRange
  public internal(set) var protection: Protection
  public internal(set) var flags: Flags
  /// Who serves faults here; nil for nobody (`vm_userfaultfd_ctx`).
  var userfault: Userfault?
  /// Made since written pages were last forgotten (`VM_SOFTDIRTY`): all of it counts as written.
  var isNew = true
  /// `PR_SET_VMA_ANON_NAME`; mappings of different names don't merge.
  public let name: String
  /// The page index of the first address in its file or anonymous region (`vm_pgoff`).
  var pageOffset: UInt64
  /// Where its anonymous pages belong; nil until the first one (`anon_vma`).
  var anonymous: AnonymousRegion?
  /// The file whose pages it shows, with its private copies in ``anonymous`` (`vm_file`).
  public internal(set) var file: MappedFile?
  /// The file whose huge pages a hugetlb mapping shows; nil for private memory without one.
  var hugetlbFile: HugetlbFile?
  /// The huge pages promised to a private hugetlb mapping; nil in a child's copy of it
  /// (`HPAGE_RESV_OWNER`).
  var hugetlbPromise: HugetlbPromise?
  unowned let space: AddressSpace

  init(
    _ space: AddressSpace, _ range: VirtualRange, _ protection: Protection, _ flags: Flags,
    _ name: String, pageOffset: UInt64
  ) {
    self.space = space
    self.range = range
    self.protection = protection
    self.flags = flags
    self.name = name
    self.pageOffset = pageOffset
  }

  var start: VirtualAddress { range.start }
  var end: VirtualAddress { range.end }

  /// Whether private anonymous pages may be put into empty places (`vma_is_anonymous`).
  public var isAnonymous: Bool { flags.contains(.anonymous) }
  /// Whether migration and HMM leave the mapping alone (`VM_SPECIAL`).
  public var isSpecial: Bool { flags.contains(.special) }
  /// Whether migration leaves the mapping alone, whatever it holds (R5).
  var refusesMigration: Bool {
    !flags.isDisjoint(with: [.special, .hugetlb]) || file?.isDAX == true
  }
  /// Whether a write by this mapping's process would reach a file that may not be written
  /// (no `VM_MAYWRITE`).
  var refusesWrite: Bool { flags.contains(.shared) && file?.isReadOnly == true }

  /// A mapping like this one, of another range or process (`vm_area_dup`); the reverse map leads
  /// through it from now on.
  func duplicate(
    in space: AddressSpace, _ range: VirtualRange, pageOffset: UInt64, withPages: Bool = true
  ) -> VMA {
    let copy = VMA(space, range, protection, flags, name, pageOffset: pageOffset)
    if withPages {
      copy.anonymous = anonymous
      anonymous?.join(copy)
    }
    copy.isNew = isNew
    if space === self.space { copy.userfault = userfault }
    copy.file = file
    file?.join(copy)
    copy.hugetlbFile = hugetlbFile
    hugetlbFile?.join()
    if space === self.space { copy.hugetlbPromise = hugetlbPromise }
    return copy
  }

  /// What a page in RAM gets when it is mapped here.
  var arrivalFlags: PageFlags { flags.contains(.locked) ? .mlocked : [] }

  /// The linear page index of an address (`linear_page_index`).
  func index(of address: VirtualAddress) -> UInt64 {
    pageOffset + (address.rawValue - start.rawValue) >> 12
  }

  /// The address at which a page index is mapped, when this mapping covers it (`vma_address`).
  func address(ofIndex index: UInt64) -> VirtualAddress? {
    guard index >= pageOffset else { return nil }
    let address = start + (index - pageOffset) << 12
    return address < end ? address : nil
  }

  /// Whether `next` could be one mapping with this one.
  func merges(with next: VMA) -> Bool {
    end == next.start && protection == next.protection && isLike(next)
      && (anonymous == nil || next.anonymous == nil || anonymous === next.anonymous)
  }

  /// Whether `next` continues this mapping in all but protection.
  func isLike(_ next: VMA) -> Bool {
    flags == next.flags && name == next.name && file === next.file
      && userfault === next.userfault && hugetlbFile === next.hugetlbFile
      && hugetlbPromise === next.hugetlbPromise
      && next.pageOffset == pageOffset + range.bytes >> 12
  }
}

/// The mappings that pages of one origin can be mapped through (`anon_vma`).
///
/// A page names its region by number and its place by index; the mappings turn the index into
/// addresses. Splits and copies of a mapping join the same region.
final class AnonymousRegion {
  let number: Int
  private(set) var mappings: [VMA] = []

  init(number: Int) { self.number = number }

  func join(_ vma: VMA) { mappings.append(vma) }

  func leave(_ vma: VMA) { mappings.removeAll { $0 === vma } }

  func abandon() { mappings = [] }
}
