import DeviceSeam

/// Reads a board's BIOS through the PROM window of its registers.
///
/// SOURCE: nouveau's nvkm/subdev/bios/shadowrom.c: BAR0 0x300000 to 0x3fffff, visible while bit 0
/// of configuration word 0x50 is clear. nouveau clears that bit first; this program doesn't write,
/// so a hidden window stays hidden.
public enum PROMReader {
  static let window: UInt64 = 0x30_0000
  static let size = 1 << 20
  /// The word of configuration space whose bit 0 hides the window.
  static let shadowWord = 0x50

  /// The window's bytes, as far as images reach.
  public static func read(_ access: some PCIDeviceAccess) throws(DiscoveryError) -> [UInt8] {
    if access.side == .real, let word = access.record.configSpace.read32(shadowWord), word & 1 != 0
    {
      throw hidden(access.record.address)
    }
    let first = try bytes(access, from: 0, count: PCIConfigSpace.headerSize)
    if first.allSatisfy({ $0 == 0xff }) || first.allSatisfy({ $0 == 0 }) {
      throw hidden(access.record.address)
    }
    return try bytes(access, from: 0, count: size)
  }

  private static func bytes(
    _ access: some PCIDeviceAccess, from offset: Int, count: Int
  ) throws(DiscoveryError) -> [UInt8] {
    let words = try access.readRegisters(
      bar: 0, offset: window + UInt64(offset), count: count / 4)
    var result: [UInt8] = []
    result.reserveCapacity(count)
    for word in words {
      for shift: UInt32 in [0, 8, 16, 24] {
        result.append(UInt8(truncatingIfNeeded: word >> shift))
      }
    }
    return result
  }

  private static func hidden(_ address: PCIAddress) -> DiscoveryError {
    let path = "/sys/bus/pci/devices/\(address)/rom"
    return DiscoveryError(
      "the PROM window of \(address) is hidden, and showing it takes a write to the device",
      remedy: "save the ROM yourself (echo 1 > \(path); cat \(path) > FILE; echo 0 > \(path)),"
        + " then pass --rom FILE")
  }
}
