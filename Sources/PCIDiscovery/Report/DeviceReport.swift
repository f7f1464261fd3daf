/// What the report says of one device.
public struct DeviceReport: Hashable, Sendable {
  public let record: PCIDeviceRecord
  public let verdict: BoardVerdict
  /// What `--probe` found; nil when it wasn't asked for or the device is no GPU.
  public var identification: Identification?
  /// What `--rom device` found; nil when it wasn't asked for or the device is no GPU.
  public var rom: ROMReport?

  public init(record: PCIDeviceRecord, profiles: [ModelledProfile] = ModelledProfile.all) {
    self.record = record
    verdict = BoardVerdict(of: record, profiles: profiles)
  }
}

/// A VBIOS that was parsed, or why it could not be.
public enum ROMReport: Hashable, Sendable {
  case parsed(VBIOS)
  /// The bytes were there but make no BIOS.
  case broken(VBIOSError)
  /// The bytes could not be had.
  case unread(DiscoveryError)

  /// Parses `bytes`.
  public init(_ bytes: [UInt8]) {
    do {
      self = .parsed(try VBIOS(parsing: bytes))
    } catch {
      self = .broken(error)
    }
  }
}

/// The whole answer of `nouveau devices`.
public struct DevicesReport: Hashable, Sendable {
  /// Where the devices come from, such as `this machine`.
  public let origin: String
  /// Devices that the source had, shown or not.
  public let total: Int
  public let devices: [DeviceReport]
  /// What else there is to say, each a sentence.
  public let notes: [String]

  public init(origin: String, total: Int, devices: [DeviceReport], notes: [String]) {
    self.origin = origin
    self.total = total
    self.devices = devices
    self.notes = notes
  }
}
