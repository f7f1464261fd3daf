extension VBIOS: Encodable {
  private enum CodingKeys: String, CodingKey {
    case bytes
    case wrapper
    case images
    case bit
    case version
    case labels
    case devinit
    case dcb
    case nouveauScore
    case findings
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(byteCount, forKey: .bytes)
    try container.encodeIfPresent(wrapper, forKey: .wrapper)
    try container.encode(images, forKey: .images)
    try container.encodeIfPresent(bit, forKey: .bit)
    try container.encodeIfPresent(version, forKey: .version)
    try container.encode(labels, forKey: .labels)
    try container.encode(devinit, forKey: .devinit)
    try container.encodeIfPresent(dcb, forKey: .dcb)
    try container.encode(nouveauScore, forKey: .nouveauScore)
    try container.encode(findings, forKey: .findings)
  }
}

extension VBIOSError: Encodable {
  private enum CodingKeys: String, CodingKey {
    case offset
    case message
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(offset, forKey: .offset)
    try container.encode(message, forKey: .message)
  }
}

extension VBIOSImage: Encodable {
  private enum CodingKeys: String, CodingKey {
    case offset
    case length
    case available
    case kind
    case vendor
    case device
    case classCode = "class"
    case revision
    case isLast = "last"
    case npde
    case checksum
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(offset, forKey: .offset)
    try container.encode(length, forKey: .length)
    try container.encode(available, forKey: .available)
    try container.encode(kind.description, forKey: .kind)
    try container.encodeHex(vendor, digits: 4, forKey: .vendor)
    try container.encodeHex(device, digits: 4, forKey: .device)
    try container.encodeHex(classCode, digits: 6, forKey: .classCode)
    try container.encode(revision, forKey: .revision)
    try container.encode(isLast, forKey: .isLast)
    try container.encodeIfPresent(npde, forKey: .npde)
    try container.encodeIfPresent(checksum, forKey: .checksum)
  }
}

extension BITTable: Encodable {
  private enum CodingKeys: String, CodingKey {
    case offset
    case version
    case headerGood
    case tokens
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(offset, forKey: .offset)
    try container.encodeHex(version, digits: 4, forKey: .version)
    try container.encode(isHeaderGood, forKey: .headerGood)
    try container.encode(tokens, forKey: .tokens)
  }
}

extension BITTable.Token: Encodable {
  private enum CodingKeys: String, CodingKey {
    case id
    case letter
    case version
    case length
    case pointer
    case offset
    case meaning
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeHex(id, digits: 2, forKey: .id)
    try container.encode(letter, forKey: .letter)
    try container.encode(version, forKey: .version)
    try container.encode(length, forKey: .length)
    try container.encode(pointer, forKey: .pointer)
    try container.encodeIfPresent(offset, forKey: .offset)
    try container.encodeIfPresent(meaning, forKey: .meaning)
  }
}
