/// Where the first image of a file begins.
struct VBIOSStart {
  let offset: Int
  let wrapper: VBIOS.Wrapper?
  var findings: [VBIOSError] = []

  /// "NVGI", the mark of the wrapper.
  static let wrapperMark: UInt32 = 0x4947_564e
  /// "RFRD", the mark of the directory that a wrapper of version 3 points to.
  static let directoryMark: UInt32 = 0x4452_4652
  /// A wrapper may not point further into the flash.
  static let limit = 1 << 20

  init(_ rom: ROMBytes) throws(VBIOSError) {
    guard rom.count >= 0x1a else {
      throw VBIOSError(at: rom.count, "the file has \(rom.count) bytes, too few for an image")
    }
    if rom.u32(0) == Self.wrapperMark {
      let found = try Self.wrapper(rom)
      offset = found.romOffset
      wrapper = found
      return
    }
    wrapper = nil
    if let word = rom.u16(0), VBIOSImage.signatures.contains(word) {
      offset = 0
      return
    }
    // SOURCE: NVIDIA's BIOS-Information-Table: a firmware file may hold data for the hardware
    // first; the expansion ROM begins at a 512-byte boundary with 55 aa whose pointer leads to
    // "PCIR".
    for at in stride(from: 512, to: min(rom.count, Self.limit), by: 512) {
      guard rom.u16(at) == 0xaa55, let pointer = rom.u16(at + 0x18) else { continue }
      if rom.u32(at + Int(pointer)) == VBIOSImage.headerMarks[0] {
        offset = at
        findings = [VBIOSError(at: 0, "unknown data before the first image at \(at)")]
        return
      }
    }
    throw VBIOSError(
      at: 0, "neither an image (55 aa) nor a wrapper (NVGI) begins here or at a 512-byte boundary")
  }

  private static func wrapper(_ rom: ROMBytes) throws(VBIOSError) -> VBIOS.Wrapper {
    let word = try rom.need32(4, "the wrapper's version")
    let version = UInt8(truncatingIfNeeded: word >> 8)
    let pointer: Int
    switch version {
    case 1, 2:
      pointer = Int(word >> 16 & 0x7fff) + 4
    case 3:
      let total = Int(try rom.need32(8, "the wrapper's size") & 0xf_ffff)
      let status = try rom.need32(total, "the wrapper's flash status")
      let directory = Int(status) + 4096
      let mark = try rom.need32(directory, "the wrapper's directory")
      guard mark == directoryMark else {
        throw VBIOSError(
          at: directory,
          "the wrapper's directory has mark \(HexText.prefixed(mark, digits: 8)), not RFRD")
      }
      pointer = directory + 8
    default:
      throw VBIOSError(at: 5, "the wrapper has version \(version); 1, 2 and 3 are known")
    }
    let start = Int(try rom.need32(pointer, "the wrapper's pointer to the first image"))
    guard start < limit else {
      throw VBIOSError(
        at: pointer, "the wrapper points to \(HexText.prefixed(start, digits: 5)), beyond 1 MiB")
    }
    guard rom.u16(start) == 0xaa55 else {
      throw VBIOSError(
        at: start,
        "the wrapper (at \(HexText.prefixed(pointer, digits: 5))) points here,"
          + " where no image begins")
    }
    return VBIOS.Wrapper(version: version, romOffset: start)
  }
}
