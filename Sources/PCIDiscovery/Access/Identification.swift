public import DeviceSeam

/// The first steps of bring-up, which need reading alone, and where bring-up stops.
public struct Identification: Hashable, Sendable {
  /// What reading PMC_BOOT_0 gave.
  public enum Outcome: Hashable, Sendable {
    /// The register's value, and what it says.
    case read(UInt32, BootZero)
    /// The read was refused: why, and what helps.
    case refused(DiscoveryError)
  }

  public let side: PCIDeviceSide
  public let verdict: BoardVerdict
  public let outcome: Outcome
  /// A contradiction between the device id and the register; nil when they agree.
  public let conflict: String?
  /// Why bring-up goes no further; nil when the device may be driven.
  public let stop: String?

  /// Identifies a device: its ids first, then PMC_BOOT_0 of BAR0.
  public init(
    of access: some PCIDeviceAccess, profiles: [ModelledProfile] = ModelledProfile.all
  ) {
    side = access.side
    verdict = BoardVerdict(of: access.record, profiles: profiles)
    var conflict: String?
    var chip: BootZero?
    do {
      let value = try access.readRegisters(bar: 0, offset: BootZero.offset, count: 1).first ?? 0
      let decoded = BootZero(value)
      outcome = .read(value, decoded)
      chip = decoded
      conflict = Self.conflict(verdict, decoded)
    } catch {
      outcome = .refused(error)
    }
    self.conflict = conflict
    stop = Self.stop(side: access.side, verdict: verdict, chip: chip)
  }

  private static func conflict(_ verdict: BoardVerdict, _ chip: BootZero) -> String? {
    guard let expected = verdict.family, let number = expected.chipset,
      case .chip(let found, _) = chip, found != number
    else { return nil }
    let name = chip.family?.chip ?? HexText.prefixed(found, digits: 3)
    return "the device id says \(expected.chip), PMC_BOOT_0 says \(name)"
  }

  private static func stop(
    side: PCIDeviceSide, verdict: BoardVerdict, chip: BootZero?
  ) -> String? {
    switch side {
    case .real: return "bring-up stops here: this reference does not drive real boards"
    case .recorded: return "bring-up stops here: a recording can be read, not driven"
    case .emulated: break
    }
    guard verdict.kind == .modelled else { return "bring-up stops here: \(verdict.reason)" }
    guard case .chip? = chip else { return "bring-up stops here: the chip did not identify itself" }
    return nil
  }
}
