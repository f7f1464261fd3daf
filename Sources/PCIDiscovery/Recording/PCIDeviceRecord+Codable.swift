extension PCIDeviceRecord: Codable {
  private enum CodingKeys: String, CodingKey {
    case address
    case vendor
    case device
    case subsystemVendor
    case subsystem
    case classCode = "class"
    case revision
    case names
    case regions
    case expansionROM
    case driver
    case iommuGroup
    case numaNode
    case link
    case config
    case registers
    case unread
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let text = try container.decode(String.self, forKey: .address)
    guard let address = PCIAddress(text) else {
      throw DecodingError.dataCorruptedError(
        forKey: .address, in: container,
        debugDescription: "'\(text.prefix(40))' is no PCI address, such as \"0000:01:00.0\"")
    }
    self.init(
      address: address,
      vendor: try container.decodeHex(UInt16.self, forKey: .vendor),
      device: try container.decodeHex(UInt16.self, forKey: .device),
      classCode: try container.decodeHex(UInt32.self, forKey: .classCode))
    guard classCode < 1 << 24 else {
      throw DecodingError.dataCorruptedError(
        forKey: .classCode, in: container, debugDescription: "a class code has 24 bits")
    }
    subsystemVendor = try container.decodeHexIfPresent(UInt16.self, forKey: .subsystemVendor)
    subsystem = try container.decodeHexIfPresent(UInt16.self, forKey: .subsystem)
    revision = try container.decodeHexIfPresent(UInt8.self, forKey: .revision)
    names = try container.decodeIfPresent(Names.self, forKey: .names) ?? Names()
    regions = try container.decodeIfPresent([PCIRegion].self, forKey: .regions) ?? []
    expansionROM = try container.decodeIfPresent(PCIExpansionROM.self, forKey: .expansionROM)
    driver = try container.decodeIfPresent(String.self, forKey: .driver)
    iommuGroup = try container.decodeIfPresent(Int.self, forKey: .iommuGroup)
    numaNode = try container.decodeIfPresent(Int.self, forKey: .numaNode)
    link = try container.decodeIfPresent(PCILink.self, forKey: .link)
    registers = try container.decodeIfPresent([RegisterValue].self, forKey: .registers) ?? []
    unread = try container.decodeIfPresent([Unread].self, forKey: .unread) ?? []
    guard let rows = try container.decodeIfPresent(HexRows.self, forKey: .config) else { return }
    do {
      config = try rows.content()
    } catch {
      throw DecodingError.dataCorruptedError(
        forKey: .config, in: container,
        debugDescription: (error.row.map { "row \($0 + 1): " } ?? "") + error.message)
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(address.description, forKey: .address)
    try container.encodeHex(vendor, digits: 4, forKey: .vendor)
    try container.encodeHex(device, digits: 4, forKey: .device)
    try container.encodeHexIfPresent(subsystemVendor, digits: 4, forKey: .subsystemVendor)
    try container.encodeHexIfPresent(subsystem, digits: 4, forKey: .subsystem)
    try container.encodeHex(classCode, digits: 6, forKey: .classCode)
    try container.encodeHexIfPresent(revision, digits: 2, forKey: .revision)
    try container.encode(names, forKey: .names)
    try container.encode(regions, forKey: .regions)
    try container.encodeIfPresent(expansionROM, forKey: .expansionROM)
    try container.encodeIfPresent(driver, forKey: .driver)
    try container.encodeIfPresent(iommuGroup, forKey: .iommuGroup)
    try container.encodeIfPresent(numaNode, forKey: .numaNode)
    try container.encodeIfPresent(link, forKey: .link)
    if !config.isEmpty { try container.encode(HexRows(config), forKey: .config) }
    if !registers.isEmpty { try container.encode(registers, forKey: .registers) }
    if !unread.isEmpty { try container.encode(unread, forKey: .unread) }
  }
}

extension PCIDeviceRecord.RegisterValue: Codable {
  private enum CodingKeys: String, CodingKey {
    case bar
    case offset
    case value
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    bar = try container.decodeNumber(0...5, "the window's index", forKey: .bar)
    offset = try container.decodeHex(UInt64.self, forKey: .offset)
    value = try container.decodeHex(UInt32.self, forKey: .value)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(bar, forKey: .bar)
    try container.encodeHex(offset, digits: 6, forKey: .offset)
    try container.encodeHex(value, digits: 8, forKey: .value)
  }
}
