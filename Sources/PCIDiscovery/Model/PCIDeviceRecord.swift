/// What is known of one PCI function: a plain value, the same whichever source it came from.
public struct PCIDeviceRecord: Hashable, Sendable {
  /// Names of the ids and the class, from the PCI id database.
  public struct Names: Hashable, Sendable, Codable {
    public var vendor: String?
    public var device: String?
    public var subsystemVendor: String?
    public var subsystem: String?
    /// The subclass, such as `3D controller`; the base class where that has no name.
    public var deviceClass: String?

    private enum CodingKeys: String, CodingKey {
      case vendor
      case device
      case subsystemVendor
      case subsystem
      case deviceClass = "class"
    }

    public init(
      vendor: String? = nil, device: String? = nil, subsystemVendor: String? = nil,
      subsystem: String? = nil, deviceClass: String? = nil
    ) {
      self.vendor = vendor
      self.device = device
      self.subsystemVendor = subsystemVendor
      self.subsystem = subsystem
      self.deviceClass = deviceClass
    }
  }

  /// Something that the source could not tell.
  public struct Unread: Hashable, Sendable, Codable {
    /// What is missing, such as `config`.
    public var field: String
    public var reason: String
    public var remedy: String

    public init(field: String, reason: String, remedy: String) {
      self.field = field
      self.reason = reason
      self.remedy = remedy
    }
  }

  /// A register's value at the time of the recording.
  public struct RegisterValue: Hashable, Sendable {
    /// The number of the base address register.
    public var bar: Int
    /// Bytes into that window, a multiple of 4.
    public var offset: UInt64
    public var value: UInt32

    public init(bar: Int, offset: UInt64, value: UInt32) {
      self.bar = bar
      self.offset = offset
      self.value = value
    }
  }

  public var address: PCIAddress
  public var vendor: UInt16
  public var device: UInt16
  /// Nil when unknown; 0 is what functions without subsystem ids report.
  public var subsystemVendor: UInt16?
  public var subsystem: UInt16?
  /// Base class, subclass and programming interface in 24 bits.
  public var classCode: UInt32
  /// Nil when unknown.
  public var revision: UInt8?
  public var names: Names
  public var regions: [PCIRegion]
  public var expansionROM: PCIExpansionROM?
  /// The kernel driver that is bound to the function.
  public var driver: String?
  public var iommuGroup: Int?
  /// Nil when the platform names no node (sysfs says -1).
  public var numaNode: Int?
  public var link: PCILink?
  /// Configuration space from its start: nothing, or the 64, 256 or 4096 bytes that could be read.
  public var config: [UInt8]
  public var registers: [RegisterValue]
  public var unread: [Unread]

  public init(address: PCIAddress, vendor: UInt16, device: UInt16, classCode: UInt32) {
    self.address = address
    self.vendor = vendor
    self.device = device
    self.classCode = classCode
    names = Names()
    regions = []
    config = []
    registers = []
    unread = []
  }
}

extension PCIDeviceRecord {
  /// The class's highest byte; 0x03 is display.
  public var baseClass: UInt8 { UInt8(truncatingIfNeeded: classCode >> 16) }

  /// Whether this is a display or 3D controller of NVIDIA's: what nouveau's table of ids matches.
  ///
  /// SOURCE: nouveau matches base class 0x03 of vendors 0x10de and 0x12d2 (NVIDIA with
  /// SGS-Thomson).
  public var isNVIDIADisplay: Bool {
    (vendor == 0x10de || vendor == 0x12d2) && baseClass == 0x03
  }

  /// Configuration space as far as it could be read.
  public var configSpace: PCIConfigSpace { PCIConfigSpace(bytes: config) }
}
