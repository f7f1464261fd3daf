/// Builds a VBIOS that nouveau's reader would accept, for tests and emulated boards.
///
/// Every place is fixed, so that a test can damage a field by its offset.
package struct VBIOSBuilder {
  /// The wrapper's version, 1 to 3; nil for none.
  package var wrapper: UInt8?
  package var device: UInt16 = 0x15f8
  /// Major, chip, minor, micro, patch.
  package var version: [UInt8] = [0x86, 0x00, 0x4d, 0x00, 0x01]
  /// Strings of the token 'S' version 2, in its order.
  package var labels = [
    "Emulated board", "Version 86.00.4D.00.01", "", "", "none", "GP100 profile", "1",
  ]
  package var hasUEFI = false
  /// Puts the PMU's table and program into an image of type 0xe0 behind the legacy one.
  package var hasExtension = false
  /// Writes NPDE headers, and lengths into them alone.
  package var hasNPDE = true
  package var hasDevinit = true

  package init() {}

  /// Offsets in the legacy image.
  package enum Place {
    package static let length = 4096
    package static let header = 0x40
    package static let npde = 0x60
    package static let bit = 0x100
    package static let versionData = 0x200
    package static let initData = 0x220
    package static let stringData = 0x260
    package static let falconData = 0x280
    package static let strings = 0x300
    package static let tables = 0x400
    package static let script = 0x480
    package static let dcb = 0x600
    /// Where the PMU's table stands in the image that holds it.
    package static let pmuTable = 0x700
    package static let program = 0x800
  }

  /// The file's bytes.
  package func build() -> [UInt8] {
    var images = legacy()
    if hasUEFI { images += plain(codeType: 0x03, last: !hasExtension) }
    if hasExtension {
      var image = plain(codeType: 0xe0, last: true)
      putPrograms(&image, base: Place.length)
      images += image
    }
    return wrapped(images)
  }

  private func legacy() -> [UInt8] {
    let isLast = !hasUEFI && !hasExtension
    var image = plain(codeType: 0x00, last: isLast)
    image.put8(UInt8(Place.length / VBIOSImage.unit), at: 2)
    image.put16(Place.dcb, at: 0x36)
    putBIT(&image)
    for (index, byte) in zip([3, 2, 1, 0, 4], version) {
      image.put8(byte, at: Place.versionData + index)
    }
    putStrings(&image)
    putDCB(&image)
    if hasDevinit {
      image.put16(Place.tables, at: Place.initData + 0x14)
      image.put16(0x40, at: Place.initData + 0x16)
      image.put16(Place.script, at: Place.initData + 0x18)
      image.put16(0x20, at: Place.initData + 0x1a)
      if !hasExtension { putPrograms(&image, base: 0) }
      let base = hasExtension ? Place.length : 0
      image.put32(UInt32(base + Place.pmuTable), at: Place.falconData)
    }
    image.put8(0 &- image.reduce(0, &+), at: Place.length - 1)
    return image
  }

  /// An image with headers alone.
  private func plain(codeType: UInt8, last: Bool) -> [UInt8] {
    var image = [UInt8](repeating: 0, count: Place.length)
    image.put16(0xaa55, at: 0)
    image.put16(Place.header, at: 0x18)
    image.put32(VBIOSImage.headerMarks[0], at: Place.header)
    image.put16(0x10de, at: Place.header + 4)
    image.put16(Int(device), at: Place.header + 6)
    image.put16(0x18, at: Place.header + 0x0a)
    image.put16(0x0302, at: Place.header + 0x0e)
    let units = Place.length / VBIOSImage.unit
    image.put16(hasNPDE ? 0 : units, at: Place.header + 0x10)
    image.put8(codeType, at: Place.header + 0x14)
    image.put8(last ? 0x80 : 0, at: Place.header + 0x15)
    if hasNPDE {
      image.put32(VBIOSImage.extensionMark, at: Place.npde)
      image.put16(units, at: Place.npde + 8)
      image.put8(last ? 0x80 : 0, at: Place.npde + 0x0a)
    }
    return image
  }

  private func putBIT(_ image: inout [UInt8]) {
    for (index, byte) in BITTable.mark.enumerated() { image.put8(byte, at: Place.bit + index) }
    image.put16(0x0100, at: Place.bit + 6)
    image.put8(12, at: Place.bit + BITTable.headerSizeAt)
    image.put8(6, at: Place.bit + 9)
    var tokens: [(Unicode.Scalar, Int, Int, Int)] = [
      ("i", 2, 0x20, Place.versionData), ("S", 2, 21, Place.stringData), ("N", 0, 0, 0),
    ]
    if hasDevinit {
      tokens += [("I", 1, 0x1c, Place.initData), ("p", 2, 4, Place.falconData)]
    }
    image.put8(UInt8(tokens.count), at: Place.bit + 10)
    let sum = image[Place.bit..<Place.bit + 12].reduce(0, &+)
    image.put8(0 &- sum, at: Place.bit + 11)
    for (index, token) in tokens.enumerated() {
      let at = Place.bit + 12 + 6 * index
      image.put8(UInt8(truncatingIfNeeded: token.0.value), at: at)
      image.put8(UInt8(token.1), at: at + 1)
      image.put16(token.2, at: at + 2)
      image.put16(token.3, at: at + 4)
    }
  }

  private func putStrings(_ image: inout [UInt8]) {
    var at = Place.strings
    for (index, label) in labels.prefix(7).enumerated() where !label.isEmpty {
      let text = label.utf8.prefix(32)
      image.put16(at, at: Place.stringData + 3 * index)
      image.put8(UInt8(text.count), at: Place.stringData + 3 * index + 2)
      for (place, byte) in text.enumerated() { image.put8(byte, at: at + place) }
      at += text.count + 1
    }
  }

  private func putDCB(_ image: inout [UInt8]) {
    image.put8(0x40, at: Place.dcb)
    image.put8(27, at: Place.dcb + 1)
    image.put8(0, at: Place.dcb + 2)
    image.put8(8, at: Place.dcb + 3)
    image.put32(VBIOS.DCB.signature, at: Place.dcb + 6)
  }

  /// The PMU's table and its DEVINIT program: 64 bytes of boot code, 128 of code, 64 of data.
  private func putPrograms(_ image: inout [UInt8], base: Int) {
    guard hasDevinit else { return }
    for (index, byte) in [UInt8(1), 4, 6, 1].enumerated() {
      image.put8(byte, at: Place.pmuTable + index)
    }
    image.put8(VBIOSDevinit.Program.devinit, at: Place.pmuTable + 4)
    image.put32(UInt32(base + Place.program), at: Place.pmuTable + 6)
    let words: [(Int, UInt32)] = [
      (0x08, 0x100), (0x0c, 0x200), (0x10, 0), (0x18, 0), (0x1c, 0x40), (0x20, 0x80),
      (0x24, 0xc0), (0x28, 0x800), (0x2c, 0x40),
    ]
    for (offset, value) in words { image.put32(value, at: Place.program + offset) }
  }

  /// SOURCE: the three forms of the wrapper as nouveau's bios/shadow.c reads them.
  private func wrapped(_ images: [UInt8]) -> [UInt8] {
    guard let wrapper else { return images }
    var front = [UInt8](repeating: 0, count: wrapper == 3 ? 8192 : 1024)
    front.put32(VBIOSStart.wrapperMark, at: 0)
    if wrapper == 3 {
      front.put32(3 << 8, at: 4)
      front.put32(0x20, at: 8)
      front.put32(0x400, at: 0x20)
      front.put32(VBIOSStart.directoryMark, at: 0x400 + 4096)
      front.put32(UInt32(front.count), at: 0x400 + 4096 + 8)
    } else {
      front.put32(UInt32(wrapper) << 8 | 0x40 << 16, at: 4)
      front.put32(UInt32(front.count), at: 0x44)
    }
    return front + images
  }
}

extension [UInt8] {
  package mutating func put8(_ value: UInt8, at offset: Int) { self[offset] = value }

  package mutating func put16(_ value: Int, at offset: Int) {
    self[offset] = UInt8(truncatingIfNeeded: value)
    self[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
  }

  package mutating func put32(_ value: UInt32, at offset: Int) {
    put16(Int(value & 0xffff), at: offset)
    put16(Int(value >> 16), at: offset + 2)
  }
}
