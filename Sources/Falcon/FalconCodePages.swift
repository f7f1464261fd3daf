/// The map from physical code pages to virtual ones: one entry for each 256 bytes of code memory.
///
/// SOURCE: envytools docs/hw/falcon/vm.rst.
struct FalconCodePages {
  enum Flag {
    static let usable: UInt32 = 1
    static let busy: UInt32 = 2
  }

  private struct Entry {
    var virtual: UInt32 = 0
    var flags: UInt32 = 0
  }

  private var entries: [Entry]
  private let mask: UInt32

  init(_ configuration: FalconConfiguration) {
    entries = Array(repeating: Entry(), count: configuration.codeBytes >> 8)
    mask = (1 << UInt32(configuration.codePageBits)) - 1
  }

  var count: Int { entries.count }

  /// Marks a page as being uploaded, at the virtual page it will have.
  mutating func begin(_ page: Int, virtual: UInt32) {
    guard entries.indices.contains(page) else { return }
    entries[page] = Entry(virtual: virtual & mask, flags: Flag.busy)
  }

  /// Marks a page as complete.
  mutating func complete(_ page: Int) {
    guard entries.indices.contains(page) else { return }
    entries[page].flags = Flag.usable
  }

  mutating func reset() { entries = Array(repeating: Entry(), count: entries.count) }

  /// ITLB: forgets a physical page.
  mutating func invalidate(_ page: UInt32) {
    guard page < entries.count else { return }
    entries[Int(page)] = Entry()
  }

  /// PTLB: virtual page << 8 | flags << 24 of a physical page.
  func physicalLookup(_ page: UInt32) -> UInt32 {
    guard page < entries.count else { return 0 }
    let entry = entries[Int(page)]
    return entry.flags << 24 | entry.virtual << 8
  }

  /// VTLB: physical page | flags << 24, bit 30 for several matches, bit 31 for none.
  func virtualLookup(_ address: UInt32) -> UInt32 {
    let virtual = address >> 8 & mask
    var flags: UInt32 = 0
    var physical: UInt32 = 0
    var matches = 0
    for (page, entry) in entries.enumerated() where entry.flags != 0 && entry.virtual == virtual {
      flags |= entry.flags
      physical = UInt32(page)
      matches += 1
    }
    var result = physical | flags << 24
    if matches == 0 { result |= 1 << 31 }
    if matches > 1 { result |= 1 << 30 }
    return result
  }
}
