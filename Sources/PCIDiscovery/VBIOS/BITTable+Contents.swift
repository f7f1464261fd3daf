extension BITTable {
  /// The version from the token 'i': major, chip, minor, micro and patch, as nouveau prints it.
  ///
  /// SOURCE: nvkm/subdev/bios/base.c: bytes +3, +2, +1, +0 and +4.
  func version(in space: VBIOSAddressSpace, findings: inout [VBIOSError]) -> String? {
    guard let token = token("i"), let at = token.offset else {
      findings.append(VBIOSError(at: offset, "the BIT table has no token 'i' with the version"))
      return nil
    }
    guard token.length >= 5 else {
      findings.append(
        VBIOSError(at: at, "token 'i' has \(token.length) bytes; the version takes 5"))
      return nil
    }
    return [3, 2, 1, 0, 4]
      .map { HexText.bare(space.rom.u8(at + $0) ?? 0, digits: 2).uppercased() }
      .joined(separator: ".")
  }

  // SOURCE: BIT_STRING_PTRS of NVIDIA's BIOS-Information-Table: for each string a 16-bit pointer
  // and an 8-bit maximum length.
  private static let labelsOfVersion1 = [
    "sign-on message", "OEM string", "OEM vendor", "OEM product", "OEM product revision",
  ]
  private static let labelsOfVersion2 = [
    "sign-on message", "version string", "copyright", "OEM string", "OEM vendor", "OEM product",
    "OEM product revision",
  ]

  /// The strings that the token 'S' points to; empty ones are left out.
  func labels(in space: VBIOSAddressSpace, findings: inout [VBIOSError]) -> [VBIOS.Label] {
    guard let token = token("S"), let base = token.offset else { return [] }
    let names: [String]
    switch token.version {
    case 1: names = Self.labelsOfVersion1
    case 2: names = Self.labelsOfVersion2
    default:
      findings.append(
        VBIOSError(at: base, "token 'S' has version \(token.version); 1 or 2 is known"))
      return []
    }
    var result: [VBIOS.Label] = []
    for (index, name) in names.enumerated() where 3 * index + 3 <= token.length {
      let at = base + 3 * index
      guard let pointer = space.rom.u16(at), let limit = space.rom.u8(at + 2), pointer != 0 else {
        continue
      }
      guard
        let place = space.resolve(Int(pointer), 1),
        let text = space.rom.text(place, limit: Int(limit))
      else {
        findings.append(
          VBIOSError(
            at: at, "the \(name) is at \(HexText.prefixed(pointer, digits: 4)), not in the file"))
        continue
      }
      if !text.isEmpty { result.append(VBIOS.Label(name: name, text: text)) }
    }
    return result
  }
}
