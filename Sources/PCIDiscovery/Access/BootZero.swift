import Base

/// What the register PMC_BOOT_0 (BAR0 offset 0) says.
///
/// SOURCE: bits as nouveau decodes them (nvkm/engine/device/base.c); the pattern of refused reads
/// is the one that NVIDIA's resource manager tests (value & 0xfff00000 == 0xbad00000).
public enum BootZero: Hashable, Sendable {
  /// The chip's number and revision.
  case chip(chipset: UInt16, revision: UInt8)
  /// All ones: no device answers, it has fallen off the bus.
  case fallenOffBus
  /// All zeros: the read didn't reach the register.
  case noAccess
  /// `0xbad…`: the device's own register bus refused the read.
  case refused(UInt32)
  /// None of the patterns; a chip older than NV10, or no chip of NVIDIA's.
  case unrecognised(UInt32)

  /// The register's offset in BAR0.
  public static let offset: UInt64 = 0
  /// The architecture, bits 28:24.
  static let architecture = BitField(28, 24)
  /// nouveau's chipset number, bits 28:20.
  static let chipsetField = BitField(28, 20)
  /// Major revision 7:4 and minor revision 3:0, such as 0xa1.
  static let revisionField = BitField(7, 0)

  public init(_ value: UInt32) {
    if value == 0xffff_ffff {
      self = .fallenOffBus
    } else if value == 0 {
      self = .noAccess
    } else if value & 0xfff0_0000 == 0xbad0_0000 {
      self = .refused(value)
    } else if Self.architecture.get(value) == 0 {
      self = .unrecognised(value)
    } else {
      self = .chip(
        chipset: UInt16(Self.chipsetField.get(value)),
        revision: UInt8(Self.revisionField.get(value)))
    }
  }

  /// The chip's family; nil unless the register named a known chip.
  public var family: ChipFamily? {
    if case .chip(let chipset, _) = self { ChipFamily.of(chipset: chipset) } else { nil }
  }
}

extension BootZero: CustomStringConvertible {
  public var description: String {
    switch self {
    case .chip(let chipset, let revision):
      let name = family.map { "\($0.chip) (\($0.architecture))" } ?? "a chip that no table has"
      return "\(name), chipset \(HexText.prefixed(chipset, digits: 3)),"
        + " revision \(HexText.bare(revision, digits: 2).uppercased())"
    case .fallenOffBus:
      return "all ones: no device answers; it has fallen off the bus or is powered down"
    case .noAccess:
      return "all zeros: no access to the registers"
    case .refused(let value):
      return "\(HexText.prefixed(value, digits: 8)): no access; the device's register bus refused"
        + " the read"
    case .unrecognised(let value):
      return "\(HexText.prefixed(value, digits: 8)) names no chip from NV10 on"
    }
  }
}
