/// Configuration space as bytes, read with bounds: what was not recorded is nil, never zero.
public struct PCIConfigSpace: Hashable, Sendable {
  public let bytes: [UInt8]

  public init(bytes: [UInt8]) { self.bytes = bytes }

  /// Bytes of the header alone: all that an unprivileged reader gets.
  public static let headerSize = 64
  /// Bytes of the conventional space.
  public static let conventionalSize = 256
  /// Bytes of the PCI Express space.
  public static let extendedSize = 4096

  public func read8(_ offset: Int) -> UInt8? {
    bytes.indices.contains(offset) ? bytes[offset] : nil
  }

  public func read16(_ offset: Int) -> UInt16? {
    guard let low = read8(offset), let high = read8(offset + 1) else { return nil }
    return UInt16(high) << 8 | UInt16(low)
  }

  public func read32(_ offset: Int) -> UInt32? {
    guard let low = read16(offset), let high = read16(offset + 2) else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }
}

// SOURCE: PCI Local Bus 3.0 section 6.2 and PCI Express 3.0 section 7.8;
// include/uapi/linux/pci_regs.h.
extension PCIConfigSpace {
  /// Whether the function decodes accesses to its memory windows (command bit 1).
  public var decodesMemory: Bool? { read16(0x04).map { $0 & 0x2 != 0 } }

  /// The header's layout: 0 for a device, 1 for a bridge, 2 for CardBus.
  public var headerType: UInt8? { read8(0x0e).map { $0 & 0x7f } }

  /// Whether the device has further functions (header type bit 7).
  public var isMultiFunction: Bool? { read8(0x0e).map { $0 & 0x80 != 0 } }

  /// The offset of the capability with this id in the conventional list.
  ///
  /// A list that leaves the recorded bytes, or loops, ends.
  public func capability(_ id: UInt8) -> Int? {
    guard let status = read16(0x06), status & 0x10 != 0, var at = read8(0x34) else { return nil }
    // 48 capabilities of 4 bytes fill what lies above the header.
    for _ in 0..<48 {
      at &= 0xfc
      guard at >= 0x40, let found = read8(Int(at)), let next = read8(Int(at) + 1) else {
        return nil
      }
      if found == id { return Int(at) }
      at = next
    }
    return nil
  }

  /// The PCI Express link from the capability's LNKCAP and LNKSTA; nil without the capability.
  public var link: PCILink? {
    guard
      let capability = capability(0x10), let able = read32(capability + 0x0c),
      let status = read16(capability + 0x12)
    else { return nil }
    return PCILink(
      current: Self.linkState(UInt32(status)), maximum: Self.linkState(able))
  }

  private static func linkState(_ word: UInt32) -> PCILink.State? {
    guard let speed = PCILinkSpeed(rawValue: UInt8(word & 0xf)) else { return nil }
    let width = Int(word >> 4 & 0x3f)
    // 0 is a link that is down; widths above 32 are reserved.
    return (1...32).contains(width) ? PCILink.State(speed: speed, width: width) : nil
  }

  /// The windows by their base address registers; sizes stay unknown, as finding them out means
  /// writing to the registers.
  public var regions: [PCIRegion] {
    let count: Int
    switch headerType {
    case 0: count = 6
    case 1: count = 2
    default: return []
    }
    var result: [PCIRegion] = []
    var index = 0
    while index < count, let word = read32(0x10 + 4 * index) {
      let taken = region(index, word: word, last: index + 1 == count)
      if let taken { result.append(taken) }
      index += taken?.is64Bit == true ? 2 : 1
    }
    return result
  }

  private func region(_ index: Int, word: UInt32, last: Bool) -> PCIRegion? {
    if word == 0 { return nil }
    if word & 1 != 0 {
      let address = UInt64(word & ~0x3)
      return PCIRegion(
        index: index, space: .io, address: address == 0 ? nil : address, size: nil,
        isPrefetchable: false, is64Bit: false)
    }
    let wide = word >> 1 & 3 == 2 && !last
    var address = UInt64(word & ~0xf)
    if wide { address |= UInt64(read32(0x14 + 4 * index) ?? 0) << 32 }
    return PCIRegion(
      index: index, space: .memory, address: address == 0 ? nil : address, size: nil,
      isPrefetchable: word & 8 != 0, is64Bit: wide)
  }

  /// The expansion ROM's window; nil when the register is empty.
  public var expansionROM: PCIExpansionROM? {
    guard headerType == 0, let word = read32(0x30), word & 0xffff_f800 != 0 else { return nil }
    return PCIExpansionROM(address: UInt64(word & 0xffff_f800), size: nil)
  }
}
