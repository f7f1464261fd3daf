import DeviceSeam
import FoundationEssentials

extension DevicesReport: Encodable {
  private enum CodingKeys: String, CodingKey {
    case origin
    case total
    case devices
    case notes
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(origin, forKey: .origin)
    try container.encode(total, forKey: .total)
    try container.encode(devices, forKey: .devices)
    try container.encode(notes, forKey: .notes)
  }
}

extension DeviceReport: Encodable {
  private enum CodingKeys: String, CodingKey {
    case record
    case verdict
    case probe
    case rom
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(record, forKey: .record)
    try container.encode(verdict, forKey: .verdict)
    try container.encodeIfPresent(identification, forKey: .probe)
    try container.encodeIfPresent(rom, forKey: .rom)
  }
}

extension BoardVerdict: Encodable {
  private enum CodingKeys: String, CodingKey {
    case kind
    case chip
    case architecture
    case profile
    case reason
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(kind, forKey: .kind)
    try container.encodeIfPresent(family?.chip, forKey: .chip)
    try container.encodeIfPresent(family?.architecture, forKey: .architecture)
    try container.encodeIfPresent(profile, forKey: .profile)
    try container.encode(reason, forKey: .reason)
  }
}

extension Identification: Encodable {
  private enum CodingKeys: String, CodingKey {
    case side
    case boot0
    case says
    case chipset
    case revision
    case error
    case conflict
    case stop
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(side, forKey: .side)
    switch outcome {
    case .read(let value, let chip):
      try container.encodeHex(value, digits: 8, forKey: .boot0)
      try container.encode(chip.description, forKey: .says)
      if case .chip(let chipset, let revision) = chip {
        try container.encodeHex(chipset, digits: 3, forKey: .chipset)
        try container.encodeHex(revision, digits: 2, forKey: .revision)
      }
    case .refused(let error):
      try container.encode(error.description, forKey: .error)
    }
    try container.encodeIfPresent(conflict, forKey: .conflict)
    try container.encodeIfPresent(stop, forKey: .stop)
  }
}

extension ROMReport: Encodable {
  private enum CodingKeys: String, CodingKey {
    case vbios
    case error
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .parsed(let bios): try container.encode(bios, forKey: .vbios)
    case .broken(let error): try container.encode(error.description, forKey: .error)
    case .unread(let error): try container.encode(error.description, forKey: .error)
    }
  }
}

extension Encodable {
  /// The value as JSON text: members in alphabetical order, two spaces a level, a final newline.
  func reportJSON() throws(DiscoveryError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    } catch {
      throw DiscoveryError("the report can't be encoded: \(error)", remedy: "report this defect")
    }
  }
}
