/// A graphics BIOS, as nouveau reads it: images, their headers, the BIT table and what hangs on it.
///
/// SOURCE: nouveau's nvkm/subdev/bios (shadow, image, pcir, npde, bit, pmu) for what is accepted
/// and how it is addressed; NVIDIA's BIOS-Information-Table and DCB-4.x-Specification for the
/// tables.
public struct VBIOS: Hashable, Sendable {
  /// The wrapper that some boards' flash images begin with ("NVGI").
  public struct Wrapper: Hashable, Sendable, Encodable {
    /// 1, 2 or 3.
    public let version: UInt8
    /// Where the first image begins.
    public let romOffset: Int
  }

  /// The table of display connectors, by its header.
  public struct DCB: Hashable, Sendable, Encodable {
    public let offset: Int
    /// 0x40 and 0x41 are the versions of the chips that this project is about.
    public let version: UInt8
    public let entries: Int
    /// Whether the header's signature is right.
    public let isSigned: Bool
  }

  /// A string that the BIT table's token 'S' points to.
  public struct Label: Hashable, Sendable, Encodable {
    public let name: String
    public let text: String
  }

  /// Bytes in the file.
  public let byteCount: Int
  public let wrapper: Wrapper?
  public let images: [VBIOSImage]
  public let bit: BITTable?
  /// `xx.xx.xx.xx.xx` from the token 'i', in nouveau's order.
  public let version: String?
  public let labels: [Label]
  public let devinit: VBIOSDevinit
  public let dcb: DCB?
  /// What is wrong with it; the rest was read all the same.
  public let findings: [VBIOSError]

  /// Parses an image; throws when nothing of it can be read.
  ///
  /// Any bytes are taken: what is cut off, hostile or inconsistent becomes a finding or the error,
  /// each with its offset, and never a trap.
  public init(parsing bytes: [UInt8]) throws(VBIOSError) {
    let rom = ROMBytes(bytes: bytes)
    byteCount = bytes.count
    let start = try VBIOSStart(rom)
    wrapper = start.wrapper
    var findings = start.findings
    images = try VBIOSImage.walk(rom, from: start.offset, findings: &findings)
    let space = VBIOSAddressSpace(rom: rom, images: images)
    bit = BITTable.find(in: space, findings: &findings)
    version = bit?.version(in: space, findings: &findings)
    labels = bit?.labels(in: space, findings: &findings) ?? []
    devinit = VBIOSDevinit(bit: bit, in: space, findings: &findings)
    dcb = DCB(in: space)
    self.findings = findings
  }

  /// The score by which nouveau chooses among a board's sources of the BIOS.
  ///
  /// SOURCE: nvkm/subdev/bios/shadow.c: 1, and for each image 3, or 1 for a legacy image whose
  /// checksum is bad.
  public var nouveauScore: Int {
    images.reduce(1) { $0 + ($1.kind == .legacy && $1.checksum != 0 ? 1 : 3) }
  }
}

extension VBIOS.DCB {
  static let signature: UInt32 = 0x4edc_bdcb

  /// The table that the legacy image's word at 0x36 points to.
  init?(in space: VBIOSAddressSpace) {
    guard
      let base = space.images.first?.offset, let pointer = space.rom.u16(base + 0x36), pointer != 0,
      let at = space.resolve(Int(pointer), 4),
      let version = space.rom.u8(at), let entries = space.rom.u8(at + 2)
    else { return nil }
    offset = at
    self.version = version
    self.entries = Int(entries)
    isSigned = space.rom.u32(at + 6) == Self.signature
  }
}
