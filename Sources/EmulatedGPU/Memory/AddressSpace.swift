import Base
import NVHardware

/// Why an access could not be translated.
struct TranslationFault: Error {
  let type: NV_PFAULT.FaultType
}

/// What a virtual address of the GPU leads to.
struct Translation: BitwiseCopyable {
  /// Of the address itself, not of its page.
  var place: Place
  /// Bytes up to the page's end.
  var length: UInt64
  var flags: PageFlags
}

/// Rights and kinds of a page.
struct PageFlags: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  static let readOnly = PageFlags(rawValue: 1)
  static let atomicDisable = PageFlags(rawValue: 2)
  static let sparse = PageFlags(rawValue: 4)
}

/// Translations that were used; an entry stays usable until it is invalidated, whatever becomes of
/// the page table, so that a missing invalidation is found.
struct TLB {
  private struct Entry: BitwiseCopyable {
    /// Virtual page number + 1, so that 0 is no entry.
    var tag: UInt64 = 0
    var base: UInt64 = 0
    var stamp: UInt32 = 0
    var shift: UInt8 = 0
    var aperture: Aperture = .vram
    var flags: PageFlags = []
  }

  /// SOURCE: none published; enough for the working set of a batch, small enough to scan.
  private static let size = 1024
  private var entries: [Entry] = []
  private var stamp: UInt32 = 1

  /// The slot of a page. Multiplying spreads pages that lie at equal places of big mappings, which
  /// would push each other out.
  @inline(__always)
  private static func slot(_ page: UInt64) -> Int {
    Int(truncatingIfNeeded: (page &* 0x9e37_79b9_7f4a_7c15) >> 54)
  }

  @inline(__always)
  func lookup(_ address: UInt64) -> Translation? {
    guard !entries.isEmpty else { return nil }
    let page = address >> UInt64(PageSize.shift)
    let entry = entries[Self.slot(page)]
    guard entry.tag == page + 1, entry.stamp == stamp else { return nil }
    let offset = address & ((1 << UInt64(entry.shift)) - 1)
    return Translation(
      place: Place(aperture: entry.aperture, address: entry.base + offset),
      length: (1 << UInt64(entry.shift)) - offset, flags: entry.flags)
  }

  mutating func insert(_ address: UInt64, base: Place, shift: UInt8, flags: PageFlags) {
    if entries.isEmpty { entries = [Entry](repeating: Entry(), count: Self.size) }
    let page = address >> UInt64(PageSize.shift)
    entries[Self.slot(page)] = Entry(
      tag: page + 1, base: base.address, stamp: stamp, shift: shift, aperture: base.aperture,
      flags: flags)
  }

  mutating func invalidateAll() { stamp &+= 1 }

  /// Forgets every entry whose page holds `address`.
  mutating func invalidate(_ address: UInt64) {
    for index in entries.indices where entries[index].tag != 0 {
      let shift = UInt64(entries[index].shift)
      let first = (entries[index].tag - 1) << UInt64(PageSize.shift)
      if first >> shift == address >> shift { entries[index].tag = 0 }
    }
  }
}

/// The translations of one page directory, as the hub's and the GPCs' units keep them apart.
final class AddressSpace {
  enum Client {
    case hub
    case gpc
  }

  let root: Place
  private let board: Board
  private var hub = TLB()
  private var gpc = TLB()

  init(_ board: Board, root: Place) {
    self.board = board
    self.root = root
  }

  /// Where `address` leads for an access of this kind.
  @inline(__always)
  func translate(
    _ address: UInt64, _ access: NV_PFAULT.AccessType, _ client: Client = .hub, limit: UInt64 = .max
  ) throws(TranslationFault) -> Translation {
    guard address <= limit, address >> UInt64(NV_MMU_VER2.virtualAddressBits) == 0 else {
      throw TranslationFault(type: .VA_LIMIT_VIOLATION)
    }
    let found = client == .hub ? hub.lookup(address) : gpc.lookup(address)
    let translation: Translation
    if let found { translation = found } else { translation = try miss(address, client) }
    if !translation.flags.isEmpty { try check(translation.flags, access) }
    return translation
  }

  private func check(_ flags: PageFlags, _ access: NV_PFAULT.AccessType) throws(TranslationFault) {
    let writes = access == .WRITE || access == .ATOMIC
    if writes, flags.contains(.readOnly) { throw TranslationFault(type: .RO_VIOLATION) }
    if access == .ATOMIC, flags.contains(.atomicDisable) {
      throw TranslationFault(type: .ATOMIC_VIOLATION)
    }
  }

  private func miss(_ address: UInt64, _ client: Client) throws(TranslationFault) -> Translation {
    let leaf = try GMMUWalk(board: board, root: root).walk(address)
    if client == .hub {
      hub.insert(address, base: leaf.base, shift: leaf.shift, flags: leaf.flags)
    } else {
      gpc.insert(address, base: leaf.base, shift: leaf.shift, flags: leaf.flags)
    }
    let offset = address & ((1 << UInt64(leaf.shift)) - 1)
    return Translation(
      place: leaf.base.advanced(by: offset), length: (1 << UInt64(leaf.shift)) - offset,
      flags: leaf.flags)
  }

  /// Forgets translations: all, or the one page that holds `address`.
  func invalidate(_ address: UInt64?, hubOnly: Bool) {
    if let address {
      hub.invalidate(address)
      if !hubOnly { gpc.invalidate(address) }
    } else {
      hub.invalidateAll()
      if !hubOnly { gpc.invalidateAll() }
    }
  }
}
