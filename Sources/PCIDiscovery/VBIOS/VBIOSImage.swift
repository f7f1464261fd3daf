/// One image of an expansion ROM.
public struct VBIOSImage: Hashable, Sendable {
  /// What the image holds, by the header's code type.
  public enum Kind: Hashable, Sendable {
    /// Code for a PC's BIOS, and the tables that drivers read.
    case legacy
    case uefi
    /// NVIDIA's own, always the last.
    case nvidia
    /// A continuation of the legacy image's data.
    case nvidiaExtension
    case other(UInt8)

    init(codeType: UInt8) {
      switch codeType {
      case 0x00: self = .legacy
      case 0x03: self = .uefi
      case 0x70: self = .nvidia
      case 0xe0: self = .nvidiaExtension
      default: self = .other(codeType)
      }
    }
  }

  /// NVIDIA's addition to the PCI header ("NPDE"), whose length and last mark prevail.
  public struct Extension: Hashable, Sendable, Encodable {
    public let offset: Int
    public let length: Int
    public let isLast: Bool
  }

  /// Where it begins in the file.
  public let offset: Int
  /// Bytes, as its headers say.
  public let length: Int
  /// Bytes of it that the file has.
  public let available: Int
  /// 0xaa55, or one of NVIDIA's own marks.
  public let signature: UInt16
  /// Where its PCI data structure ("PCIR", "RGIS" or "NPDS") begins.
  public let headerOffset: Int
  public let vendor: UInt16
  public let device: UInt16
  /// 24 bits, as in configuration space.
  public let classCode: UInt32
  public let revision: UInt16
  public let kind: Kind
  public let isLast: Bool
  public let npde: Extension?
  /// The sum of its bytes modulo 256, which is 0 in a good image; nil when it is cut off.
  public let checksum: UInt8?

  /// First words of an image that nouveau accepts.
  static let signatures: [UInt16] = [0xaa55, 0xbb77, 0x4e56]
  /// "PCIR", "RGIS" and "NPDS", little-endian.
  static let headerMarks: [UInt32] = [0x5249_4350, 0x5349_4752, 0x5344_504e]
  /// "NPDE".
  static let extensionMark: UInt32 = 0x4544_504e
  /// More images than this are taken for a loop of nonsense; real ROMs have up to 5.
  static let maximumCount = 32
  /// Headers say lengths in these units.
  static let unit = 512

  /// Reads the image at `offset`.
  init(_ rom: ROMBytes, at offset: Int, findings: inout [VBIOSError]) throws(VBIOSError) {
    self.offset = offset
    signature = try rom.need16(offset, "an image's signature")
    guard Self.signatures.contains(signature) else {
      throw VBIOSError(
        at: offset,
        "no image begins here: the first word is"
          + " \(HexText.prefixed(signature, digits: 4))")
    }
    let header = offset + Int(try rom.need16(offset + 0x18, "the pointer to the image's header"))
    headerOffset = header
    let mark = try rom.need32(header, "the image's header")
    guard Self.headerMarks.contains(mark) else {
      throw VBIOSError(
        at: header,
        "the image's header has mark \(HexText.prefixed(mark, digits: 8)),"
          + " not PCIR, RGIS or NPDS")
    }
    vendor = try rom.need16(header + 4, "the header's vendor id")
    device = try rom.need16(header + 6, "the header's device id")
    let headerLength = Int(try rom.need16(header + 0x0a, "the header's length"))
    let interface = try rom.need8(header + 0x0d, "the header's class")
    let classes = try rom.need16(header + 0x0e, "the header's class")
    classCode = UInt32(classes) << 8 | UInt32(interface)
    let units = Int(try rom.need16(header + 0x10, "the image's length"))
    revision = try rom.need16(header + 0x12, "the image's revision")
    kind = Kind(codeType: try rom.need8(header + 0x14, "the code type"))
    let indicator = try rom.need8(header + 0x15, "the last mark")
    if headerLength < 0x18 {
      findings.append(
        VBIOSError(at: header + 0x0a, "the header says it has \(headerLength) bytes, 24 at least"))
    }
    npde = Self.npde(rom, offset: offset, end: header - offset + headerLength)
    length = npde?.length ?? units * Self.unit
    // NVIDIA's own image ends the ROM even when its mark is missing.
    isLast = npde?.isLast ?? (indicator & 0x80 != 0) || kind == .nvidia
    available = max(0, min(length, rom.count - offset))
    checksum = available == length ? rom.sum(offset..<offset + length) : nil
  }

  private static func npde(_ rom: ROMBytes, offset: Int, end: Int) -> Extension? {
    let at = offset + (end + 0xf) & ~0xf
    guard
      rom.u32(at) == extensionMark, let units = rom.u16(at + 8), let last = rom.u8(at + 0x0a)
    else { return nil }
    return Extension(offset: at, length: Int(units) * unit, isLast: last & 0x80 != 0)
  }

  /// Reads image after image until the last; the first one must be readable.
  static func walk(
    _ rom: ROMBytes, from start: Int, findings: inout [VBIOSError]
  ) throws(VBIOSError) -> [VBIOSImage] {
    var images = [try VBIOSImage(rom, at: start, findings: &findings)]
    while let image = images.last {
      image.check(rom, findings: &findings)
      let next = image.offset + image.length
      if image.isLast || image.length == 0 { break }
      guard rom.holds(next, 2) else {
        findings.append(
          VBIOSError(at: rom.count, "the file ends here, but its last image is not marked as last"))
        break
      }
      guard images.count < maximumCount else {
        findings.append(
          VBIOSError(at: next, "more than \(maximumCount) images; the rest is ignored"))
        break
      }
      do {
        images.append(try VBIOSImage(rom, at: next, findings: &findings))
      } catch {
        findings.append(error)
        break
      }
    }
    return images
  }

  private func check(_ rom: ROMBytes, findings: inout [VBIOSError]) {
    if length == 0 {
      findings.append(VBIOSError(at: headerOffset + 0x10, "the image's length is 0"))
    } else if available < length {
      findings.append(
        VBIOSError(
          at: rom.count,
          "the file ends here; the image at \(HexText.prefixed(offset, digits: 5))"
            + " has \(length) bytes, of which \(available) are there"))
    }
    if let checksum, checksum != 0, kind == .legacy, length > 0 {
      findings.append(
        VBIOSError(
          at: offset,
          "the image's bytes add up to \(HexText.prefixed(checksum, digits: 2)),"
            + " not to 0"))
    }
  }
}

extension VBIOSImage.Kind: CustomStringConvertible {
  public var description: String {
    switch self {
    case .legacy: "legacy x86"
    case .uefi: "UEFI"
    case .nvidia: "NVIDIA"
    case .nvidiaExtension: "NVIDIA extension"
    case .other(let code): "code type \(HexText.prefixed(code, digits: 2))"
    }
  }
}
