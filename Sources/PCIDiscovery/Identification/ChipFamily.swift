/// A graphics chip of NVIDIA's and the PCI device ids that its boards carry.
public struct ChipFamily: Hashable, Sendable {
  /// How sure a range of ids is.
  public enum Evidence: String, Sendable, Codable {
    /// A manual or a register specification gives the range.
    case documented
    /// The range is drawn around the boards that the public id database lists.
    case observed
  }

  /// Such as `GP100`.
  public let chip: String
  /// Such as `Pascal`.
  public let architecture: String
  /// PMC_BOOT_0 bits 28:20, nouveau's chipset number; nil where nouveau has none.
  public let chipset: UInt16?
  public let ids: ClosedRange<UInt16>
  public let evidence: Evidence

  init(
    _ chip: String, _ architecture: String, _ chipset: UInt16?, _ ids: ClosedRange<UInt16>,
    _ evidence: Evidence = .documented
  ) {
    self.chip = chip
    self.architecture = architecture
    self.chipset = chipset
    self.ids = ids
    self.evidence = evidence
  }
}

extension ChipFamily {
  /// The family that a device id of vendor 0x10de belongs to.
  public static func of(device: UInt16) -> ChipFamily? {
    table.first { $0.ids.contains(device) }
  }

  /// The family with this number in PMC_BOOT_0.
  public static func of(chipset: UInt16) -> ChipFamily? {
    table.first { $0.chipset == chipset }
  }
}
