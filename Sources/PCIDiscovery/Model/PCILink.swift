/// A PCI Express link's speed, one of the generations' fixed rates.
public enum PCILinkSpeed: UInt8, Hashable, Comparable, CaseIterable, Sendable {
  // The raw value is the code of LNKCAP and LNKSTA bits 3:0.
  case gt2_5 = 1
  case gt5 = 2
  case gt8 = 3
  case gt16 = 4
  case gt32 = 5
  case gt64 = 6

  public static func < (a: PCILinkSpeed, b: PCILinkSpeed) -> Bool { a.rawValue < b.rawValue }

  /// Reads `8.0 GT/s`, `8GT/s` and sysfs's `8.0 GT/s PCIe`.
  public init?(_ text: some StringProtocol) {
    guard let unit = text.firstIndex(of: "G"), text[unit...].hasPrefix("GT/s") else { return nil }
    var number = String(text[..<unit].filter { $0 != " " })
    if number.hasSuffix(".0") { number.removeLast(2) }
    guard let found = Self.allCases.first(where: { $0.number == number }) else { return nil }
    self = found
  }

  private var number: String {
    switch self {
    case .gt2_5: "2.5"
    case .gt5: "5"
    case .gt8: "8"
    case .gt16: "16"
    case .gt32: "32"
    case .gt64: "64"
    }
  }
}

extension PCILinkSpeed: CustomStringConvertible {
  public var description: String { "\(self == .gt2_5 ? number : number + ".0") GT/s" }
}

/// A PCI Express link: how it runs and how it could.
public struct PCILink: Hashable, Sendable, Codable {
  /// A speed and a number of lanes.
  public struct State: Hashable, Sendable, CustomStringConvertible {
    public var speed: PCILinkSpeed
    /// Lanes, 1 to 32.
    public var width: Int

    public init(speed: PCILinkSpeed, width: Int) {
      self.speed = speed
      self.width = width
    }

    public var description: String { "\(speed) x\(width)" }
  }

  /// Nil while the link is down or when it couldn't be read.
  public var current: State?
  public var maximum: State?

  public init(current: State?, maximum: State?) {
    self.current = current
    self.maximum = maximum
  }
}
