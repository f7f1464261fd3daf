/// The BIOS information table: a header and tokens that point to everything else.
public struct BITTable: Hashable, Sendable {
  /// One entry: what it is about, and where its data stands.
  public struct Token: Hashable, Sendable {
    /// A letter.
    public let id: UInt8
    public let version: UInt8
    /// Bytes of data.
    public let length: Int
    /// As the table says it; 0 means that there is none.
    public let pointer: Int
    /// Where the data stands in the file; nil when there is none or it is not in the file.
    public let offset: Int?

    /// The letter as text.
    public var letter: String { String(UnicodeScalar(id)) }

    /// What the letter stands for; nil for one that the specification doesn't list.
    public var meaning: String? { BITTable.meanings.first { $0.id == id }?.text }
  }

  public let offset: Int
  /// Such as 0x0100.
  public let version: UInt16
  public let tokens: [Token]
  /// Whether the header's bytes add up to 0.
  public let isHeaderGood: Bool

  /// The first token with this letter.
  public func token(_ letter: Unicode.Scalar) -> Token? {
    tokens.first { $0.id == UInt8(truncatingIfNeeded: letter.value) }
  }

  // SOURCE: the token list of NVIDIA's BIOS-Information-Table.
  private static let meanings: [(id: UInt8, text: String)] = [
    (0x32, "I2C pointers"), (0x41, "analog display pointers"), (0x42, "BIOS data"),
    (0x43, "clock pointers"), (0x44, "digital flat panel pointers"),
    (0x49, "initialisation pointers"), (0x4c, "LVDS pointers"), (0x4d, "memory pointers"),
    (0x4e, "no operation"), (0x50, "performance pointers"), (0x52, "bridge firmware"),
    (0x53, "string pointers"), (0x54, "TMDS pointers"), (0x55, "display pointers"),
    (0x56, "virtual field pointers"), (0x63, "32-bit pointers"), (0x64, "DisplayPort pointers"),
    (0x69, "internal use: version"), (0x70, "Falcon microcode"), (0x75, "UEFI data"),
    (0x78, "MXM data"),
  ]

  /// Where the header's fields stand, and what must stand there.
  static let mark: [UInt8] = [0xff, 0xb8] + Array("BIT".utf8) + [0]
  static let headerSizeAt = 8
  static let minimumHeaderSize = 12
  static let minimumTokenSize = 6

  /// Looks for the table in the first image.
  static func find(in space: VBIOSAddressSpace, findings: inout [VBIOSError]) -> BITTable? {
    guard let image = space.images.first else { return nil }
    let end = image.offset + image.available
    var from = image.offset
    var rejected: BITTable?
    while let at = space.rom.find(mark, from: from, to: end) {
      if let table = BITTable(space, at: at, findings: &findings) {
        if table.isHeaderGood { return table }
        rejected = rejected ?? table
      }
      from = at + mark.count
    }
    if let rejected {
      findings.append(VBIOSError(at: rejected.offset, "the BIT header's bytes don't add up to 0"))
      return rejected
    }
    if let old = space.rom.find([0xff, 0x7f] + Array("NV".utf8) + [0], from: image.offset, to: end)
    {
      findings.append(VBIOSError(at: old, "no BIT table; a BMP table of older chips begins here"))
    } else {
      findings.append(VBIOSError(at: image.offset, "the first image has no BIT table"))
    }
    return nil
  }

  private init?(_ space: VBIOSAddressSpace, at offset: Int, findings: inout [VBIOSError]) {
    let rom = space.rom
    guard
      let version = rom.u16(offset + 6), let headerSize = rom.u8(offset + Self.headerSizeAt),
      let tokenSize = rom.u8(offset + 9), let count = rom.u8(offset + 10),
      rom.holds(offset, Int(headerSize))
    else {
      findings.append(VBIOSError(at: offset, "the BIT header is cut off"))
      return nil
    }
    guard headerSize >= Self.minimumHeaderSize, tokenSize >= Self.minimumTokenSize else {
      findings.append(
        VBIOSError(
          at: offset + Self.headerSizeAt,
          "the BIT header says \(headerSize) bytes of header and \(tokenSize) a token;"
            + " 12 and 6 at least"))
      return nil
    }
    self.offset = offset
    self.version = version
    isHeaderGood = rom.sum(offset..<offset + Int(headerSize)) == 0
    var tokens: [Token] = []
    for index in 0..<Int(count) {
      let at = offset + Int(headerSize) + index * Int(tokenSize)
      guard let token = Token(space, at: at, findings: &findings) else {
        findings.append(
          VBIOSError(at: at, "the file ends before token \(index + 1) of \(count) of the BIT table")
        )
        break
      }
      tokens.append(token)
    }
    self.tokens = tokens
  }
}

extension BITTable.Token {
  fileprivate init?(_ space: VBIOSAddressSpace, at: Int, findings: inout [VBIOSError]) {
    guard
      let id = space.rom.u8(at), let version = space.rom.u8(at + 1),
      let length = space.rom.u16(at + 2), let pointer = space.rom.u16(at + 4)
    else { return nil }
    self.id = id
    self.version = version
    self.length = Int(length)
    self.pointer = Int(pointer)
    offset = pointer == 0 ? nil : space.resolve(Int(pointer), Int(length))
    if pointer != 0, offset == nil {
      findings.append(
        VBIOSError(
          at: at + 4,
          "token '\(UnicodeScalar(id).escaped(asASCII: true))' points to"
            + " \(HexText.prefixed(pointer, digits: 4)), whose \(length) bytes are not in the file")
      )
    }
  }
}
