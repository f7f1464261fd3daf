/// Where a PCI function sits: domain, bus, device and function, written `0000:01:00.0`.
public struct PCIAddress: Hashable, Comparable, Sendable {
  /// The PCI segment; wider than 16 bits behind some host bridges.
  public let domain: UInt32
  public let bus: UInt8
  /// 0 to 31.
  public let device: UInt8
  /// 0 to 7.
  public let function: UInt8

  /// Nil when `device` or `function` is out of range.
  public init?(domain: UInt32 = 0, bus: UInt8, device: UInt8, function: UInt8) {
    guard device < 32, function < 8 else { return nil }
    self.domain = domain
    self.bus = bus
    self.device = device
    self.function = function
  }

  /// Reads `domain:bus:device.function` or `bus:device.function`, all hexadecimal.
  ///
  /// Without a domain it is 0, as `lspci` leaves domain 0 out.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, let last = parts.last else { return nil }
    let tail = last.split(separator: ".", omittingEmptySubsequences: false)
    guard
      tail.count == 2,
      let domain = parts.count == 3 ? HexText.value(parts[0], digits: 4...8) : 0,
      let bus = HexText.value(parts[parts.count - 2], digits: 2...2),
      let device = HexText.value(tail[0], digits: 2...2),
      let function = HexText.value(tail[1], digits: 1...1)
    else { return nil }
    self.init(
      domain: UInt32(domain), bus: UInt8(bus), device: UInt8(device), function: UInt8(function))
  }

  public static func < (a: PCIAddress, b: PCIAddress) -> Bool {
    (a.domain, a.bus, a.device, a.function) < (b.domain, b.bus, b.device, b.function)
  }
}

extension PCIAddress: CustomStringConvertible {
  public var description: String {
    "\(HexText.bare(domain, digits: 4)):\(HexText.bare(bus, digits: 2))"
      + ":\(HexText.bare(device, digits: 2)).\(function)"
  }
}
