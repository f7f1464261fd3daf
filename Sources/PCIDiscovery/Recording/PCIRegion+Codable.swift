extension PCIRegion: Codable {
  private enum CodingKeys: String, CodingKey {
    case index
    case space
    case address
    case size
    case prefetchable
    case wide = "64bit"
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    index = try container.decodeNumber(0...5, "the window's index", forKey: .index)
    space = try container.decode(Space.self, forKey: .space)
    address = try container.decodeHexIfPresent(UInt64.self, forKey: .address)
    size = try container.decodeHexIfPresent(UInt64.self, forKey: .size)
    isPrefetchable = try container.decodeIfPresent(Bool.self, forKey: .prefetchable) ?? false
    is64Bit = try container.decodeIfPresent(Bool.self, forKey: .wide) ?? false
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(index, forKey: .index)
    try container.encode(space, forKey: .space)
    try container.encodeHexIfPresent(address, digits: 8, forKey: .address)
    try container.encodeHexIfPresent(size, digits: 1, forKey: .size)
    try container.encode(isPrefetchable, forKey: .prefetchable)
    try container.encode(is64Bit, forKey: .wide)
  }
}

extension PCIExpansionROM: Codable {
  private enum CodingKeys: String, CodingKey {
    case address
    case size
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    address = try container.decodeHexIfPresent(UInt64.self, forKey: .address)
    size = try container.decodeHexIfPresent(UInt64.self, forKey: .size)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeHexIfPresent(address, digits: 8, forKey: .address)
    try container.encodeHexIfPresent(size, digits: 1, forKey: .size)
  }
}

extension PCILink.State: Codable {
  private enum CodingKeys: String, CodingKey {
    case speed
    case width
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let text = try container.decode(String.self, forKey: .speed)
    guard let speed = PCILinkSpeed(text) else {
      throw DecodingError.dataCorruptedError(
        forKey: .speed, in: container,
        debugDescription: "'\(text.prefix(40))' is no link speed, such as \"8.0 GT/s\"")
    }
    self.speed = speed
    width = try container.decodeNumber(1...32, "the link's width", forKey: .width)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(speed.description, forKey: .speed)
    try container.encode(width, forKey: .width)
  }
}
